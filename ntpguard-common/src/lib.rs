//! What the XDP program and the host share: bytes in, verdict out.
//!
//! This crate is a leaf. It does no I/O, allocates nothing, and is compiled twice: for the BPF target, where
//! the verifier reads it, and for the host, where tests run the same code.
//!
//! ```text
//! frame ─wire::locate→ Datagram ─decide→ Verdict { Reason, rule }
//!                                  ↑
//!                       Lookup: Settings and Rules
//! ```
//!
//! Everything on the packet path is `#[inline(always)]` and free of panics, recursion and slices: the
//! verifier accepts one bounded access, [`packet::Packet::load`], and nothing else.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

pub mod abi;
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

pub use decide::{Lookup, decide, decide_known, decide_plain, decide_then};
pub use limit::Books;
pub use packet::Packet;
pub use reason::{Action, Reason};
pub use source::Source;
pub use verdict::{Consequence, Decision, Itself, Verdict};
