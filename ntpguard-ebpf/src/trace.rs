//! The same filter, with a line of log for each packet to port 123.
//!
//! A program of its own rather than a switch: aya-log-ebpf brings a map in the old format, which libbpf and
//! bpftool refuse, and a filter without it has nothing to switch off.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

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

/// Stands in front of the daemon.
#[xdp(frags)]
fn ntpguard(ctx: XdpContext) -> u32 {
    filter::run(&Buffers::of(&ctx))
}

/// Tells of a verdict: reason, rule, source, source port. The loader puts words to the numbers.
#[inline(always)]
fn trace(ctx: &XdpContext, Verdict { reason, rule, datagram, .. }: Verdict) {
    let reason = reason.index();
    let frame = Buffers::of(ctx);
    let sender = datagram.and_then(|datagram| datagram.source(&frame).zip(datagram.source_port(&frame)));
    match sender {
        Some((Source::V4(source), port)) => info!(ctx, "{} {} {:i} {}", reason, rule, source, port),
        Some((Source::V6(halves), port)) => {
            let [[a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]] = halves.map(u64::to_be_bytes);
            let source = [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p];
            info!(ctx, "{} {} {:i} {}", reason, rule, source, port);
        }
        None => info!(ctx, "{} {}", reason, rule),
    }
}
