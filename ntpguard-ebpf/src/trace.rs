//! The same filter, with a line of log for each packet to port 123.
//!
//! A program of its own rather than a switch: aya-log-ebpf brings a map in the old format, which libbpf and
//! bpftool refuse, and a filter without it has nothing to switch off.
#![no_std]
#![no_main]

mod filter;
mod limit;
mod maps;
mod packet;
mod rule;
mod runtime;
mod sample;
mod xdp;

use aya_ebpf::{macros::xdp, programs::XdpContext};
use aya_log_ebpf::info;
use ntpguard_common::{Source, Verdict};
use xdp::Buffers;

/// Stands in front of the daemon, and tells: reason, rule, source, source port. The loader puts words to the numbers.
#[xdp(frags)]
fn ntpguard(ctx: XdpContext) -> u32 {
    let action = filter::run(&Buffers::of(&ctx), |verdict| {
        let Verdict { reason, rule, datagram, .. } = verdict;
        let reason = reason.index();
        match datagram.map(|datagram| (datagram.source, datagram.source_port)) {
            Some((Source::V4(source), port)) => info!(&ctx, "{} {} {:i} {}", reason, rule, source, port),
            Some((Source::V6(source), port)) => info!(&ctx, "{} {} {:i} {}", reason, rule, source, port),
            None => info!(&ctx, "{} {}", reason, rule),
        }
    });
    xdp::action(action)
}
