//! The same filter, with a line of log for each packet to port 123.
//!
//! A program of its own rather than a switch: aya-log-ebpf brings a map in the old format, which libbpf and
//! bpftool refuse, and a filter without it has nothing to switch off.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod filter;
mod limit;
mod log {
    mod lines;
    pub(crate) use lines::log;
}
mod maps;
mod packed;
mod packet;
mod rule;
mod runtime;
mod sample;
mod xdp;

use aya_ebpf::{macros::xdp, programs::XdpContext};
use xdp::Buffers;

/// Stands in front of the daemon.
#[xdp(frags)]
#[inline(always)]
fn ntpguard(ctx: XdpContext) -> u32 {
    filter::run(&Buffers::of(&ctx))
}
