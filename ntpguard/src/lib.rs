//! ntpguard's user space: from ntp.conf to the kernel's maps, and from its counters to reports.
//!
//! ```text
//! ntp.conf ─conf::ntp::read→ AccessList ─Policy::resolve→ Policy ─Image::compile→ Image ─Guard::install→ maps
//!                               │ audit                    │                      │ Engine, Tally         │ decide
//! people ←export::check─ Diagnostics ←─────────────────────┘                      └→ Verdict              │
//! people ←export─ Snapshot ←Guard::counters─ counters ←──────────────────────────count── Verdict ←────────┘
//! ```
//!
//! Each arrow is one function; data flows one way. The modules are rooms; each imports only rooms below it. From the
//! top down:
//!
//! - the command: [`cmd`] (the verbs), [`cli`] (what the user typed, and the part of it that each verb gets);
//! - faces, which are what people and programs see: [`doctor`], [`top`], [`export`], [`metrics`];
//! - the same verdict without traffic: [`simulate`], and the captures that it reads: [`capture`];
//! - a running filter: [`observe`] (what happened), [`guard`] (what is in force, and the state that persists), [`bpf`]
//!   (the only user of aya);
//! - from files to rules: [`compile`], [`policy`] (its `resolve` alone asks DNS), [`conf`];
//! - the lowest rooms: [`daemon`] (which daemon this host runs), [`host`] (the operating system).

pub mod bpf;
pub mod capture;
pub mod cli;
pub mod cmd;
pub mod compile;
pub mod conf;
pub mod daemon;
pub mod doctor;
pub mod export;
pub mod guard;
pub mod host;
pub mod metrics;
pub mod observe;
pub mod policy;
pub mod simulate;
pub mod top;
