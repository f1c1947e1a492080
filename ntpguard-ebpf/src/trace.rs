//! The XDP program with a log line for each packet to port 123.
//!
//! It is a program of its own rather than a switch in the other one: aya-log-ebpf adds a map in the legacy format,
//! which libbpf and bpftool refuse, and a program without logging has nothing to switch off.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod associations;
mod filter;
mod frame;
mod learn;
mod limit;
mod log {
    mod lines;
    pub(crate) use lines::log;
}
mod maps;
mod packed;
mod packed_verdict;
mod packet;
mod policy;
mod rule;
mod runtime;
mod sample;
mod xdp;

use aya_ebpf::{macros::xdp, programs::XdpContext};
use xdp::Buffers;

/// The XDP program, in front of the network stack.
#[xdp(frags)]
#[inline(always)]
fn ntpguard(ctx: XdpContext) -> u32 {
    filter::run(&Buffers::of(&ctx))
}
