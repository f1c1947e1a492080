//! Logs a line for each verdict, in the program that `run --trace` loads.

use crate::{packed_verdict::PackedVerdict, xdp::Buffers};
use aya_ebpf::{bindings::xdp_md, programs::XdpContext};
use aya_log_ebpf::info;
use ntpguard_common::{Source, Verdict};

/// Logs a verdict.
#[inline(always)]
pub(crate) fn log(ctx: *mut xdp_md, verdict: Verdict) {
    let PackedVerdict { why, what } = PackedVerdict::new(verdict, 0);
    ntpguard_trace(ctx, why, what);
}

/// Logs a verdict: reason, rule, source and source port as numbers, for which the loader has the words. A global
/// function, since verifying the code of a log line after each path to a verdict would be expensive. The returned
/// number has no meaning.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ntpguard_trace(ctx: *mut xdp_md, why: u64, what: u64) -> u32 {
    let ctx = &XdpContext::new(ctx);
    let frame = Buffers::of(ctx);
    let (reason, rule) = (u32::from((why >> 32) as u8), why as u32);
    let datagram = PackedVerdict { why, what }.datagram();
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
    0
}
