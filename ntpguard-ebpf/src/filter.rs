//! Decision to XDP action, and the counters in between.

use crate::{
    limit,
    maps::{self, Maps},
    packet::{Buffers, Linear},
};
use aya_ebpf::{bindings::xdp_action, programs::XdpContext};
use ntpguard_common::{Action, Decision, Lookup as _, Verdict, abi::Settings, decide};

/// Judges the frame; `told` is called with the verdict when there is one.
#[inline(always)]
pub(crate) fn run(ctx: &XdpContext, told: impl Fn(Verdict)) -> u32 {
    let linear = Linear::of(ctx);
    let buffers = Buffers::of(ctx);
    let decision = match decide(&linear, &Maps) {
        // The headers go on in another buffer, or the frame is cut short.
        Decision::Truncated if buffers.len() > linear.len() => decide(&buffers, &Maps),
        decision => decision,
    };
    let Decision::Judged(verdict) = decision else { return xdp_action::XDP_PASS };
    let verdict = limit::limit(ctx.ctx, verdict);
    // A call that costs almost as much as the whole verdict (8 ns): only where there may be more buffers.
    let whole = verdict.datagram.is_some_and(|datagram| datagram.end as u64 <= linear.len());
    let bytes = if whole { linear.len() } else { buffers.len() };
    // SAFETY: the context that the kernel handed to the program.
    let interface = unsafe { (*ctx.ctx).ingress_ifindex };
    maps::count(verdict, interface, bytes);
    told(verdict);
    match verdict.action() {
        Action::Pass => xdp_action::XDP_PASS,
        Action::Drop if Maps.settings().has(Settings::MONITOR) => xdp_action::XDP_PASS,
        Action::Drop => xdp_action::XDP_DROP,
        Action::Transmit => xdp_action::XDP_TX,
    }
}
