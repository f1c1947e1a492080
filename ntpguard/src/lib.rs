//! ntpguard's user space: from ntp.conf to the kernel's maps, and from its counters to people.
//!
//! ```text
//! ntp.conf ─crate::conf::ntp::read→ ConfFile ─Policy::resolve→ Policy ─Image::compile→ Image ─Guard::install→ maps
//!                          │ audit                    │                      │ Engine, Tally         │ decide
//! people ←report─ Diagnostics ←───────────────────────┘                      └→ Verdict              │
//! people ←export─ Snapshot ←Guard::counters─ counters ←──────────────────────────count── Verdict ←───┘
//! ```
//!
//! Each arrow is one function; data flows one way. [`bpf`] alone touches aya, [`resolve`] alone DNS.

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
