//! The same filter, with a line of log for each packet to port 123.
//!
//! A program of its own rather than a switch: aya-log-ebpf brings a map in the old format, which libbpf and
//! bpftool refuse, and a filter without it has nothing to switch off.
#![no_std]
#![no_main]

mod filter;
mod maps;
mod packet;
mod runtime;

use aya_ebpf::{macros::xdp, programs::XdpContext};
use aya_log_ebpf::info;

/// Stands in front of the daemon, and tells. The loader puts a name to the reason.
#[xdp(frags)]
fn ntpguard(ctx: XdpContext) -> u32 {
    filter::run(&ctx, |verdict| info!(&ctx, "{} {}", verdict.reason.index(), verdict.rule))
}
