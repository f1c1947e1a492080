//! What the XDP program and the host share: from a frame's bytes to a verdict.
//!
//! This crate does no I/O, allocates nothing, and depends on no other crate of the workspace. It is compiled twice: for
//! the BPF target, where the kernel's verifier checks it, and for the host, where tests run the same code.
//!
//! ```text
//! frame ─wire::locate→ Datagram ─decide→ Verdict { Reason, rule }
//!                                  ↑
//!                       Lookup: PolicyWord and Rules
//! ```
//!
//! A policy is any type that answers two questions: which policy word is in force, and what a source may do. In this
//! example nobody may send queries, so a monlist request is dropped:
//!
//! ```
//! use ntpguard_common::{
//!     Action, Decision, Lookup, Reason, Source,
//!     abi::{Rule, PolicyWord},
//!     decide,
//! };
//!
//! struct NobodyQueries;
//!
//! impl Lookup for NobodyQueries {
//!     fn word(&self) -> PolicyWord {
//!         PolicyWord { flags: PolicyWord::INSTALLED, generation: 1 }
//!     }
//!
//!     fn rule(&self, _slot: u32, _source: &Source, _port: u16) -> Rule {
//!         Rule { flags: Rule::NOQUERY, index: 0 }
//!     }
//! }
//!
//! let ethernet = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0];
//! let ip = [0x45, 0, 0, 36, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 1];
//! let udp = [0x9c, 0x40, 0, 123, 0, 16, 0, 0];
//! let monlist = [0x17, 0, 3, 42, 0, 0, 0, 0];
//! let frame = [&ethernet[..], &ip, &udp, &monlist].concat();
//!
//! let Decision::Judged(verdict) = decide(&frame[..], &NobodyQueries) else { panic!("not NTP") };
//! assert_eq!((verdict.reason, verdict.action()), (Reason::Noquery, Action::Drop));
//! assert_eq!(verdict.datagram.and_then(|datagram| datagram.source(&frame[..])), Some(Source::of_v4([192, 0, 2, 1])));
//! ```
//!
//! Where to look: [`wire`] finds the datagram, [`form`] knows what each daemon discards by a packet's form,
//! [`decide`](mod@decide) combines both with the [`Lookup`], [`limit`] applies rate limits to what would pass, [`kiss`]
//! turns a request into its kiss-o'-death, [`abi`] defines the values in the kernel's maps, and [`sample`] the records
//! of sampled drops.
//!
//! Everything on the packet path is `#[inline(always)]` and free of panics, recursion and slices: a packet's bytes are
//! accessed through one bounds-checked function, [`packet::Packet::load`], whose checks the verifier understands.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

pub mod abi;
pub mod associations;
pub mod decide;
pub mod form;
pub mod hash;
pub mod kiss;
pub mod limit;
pub mod packet;
pub mod ranges;
pub mod reason;
pub mod sample;
pub mod shared;
pub mod source;
pub mod verdict;
pub mod wire;

pub use associations::AssociationState;
pub use decide::{Lookup, decide, decide_known, decide_plain, decide_then};
pub use limit::LimiterState;
pub use packet::Packet;
pub use reason::{Action, Reason};
pub use source::Source;
pub use verdict::{Continuation, Decision, ReturnVerdict, Verdict};
