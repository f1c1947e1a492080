//! The limiter and the kisses as functions of their own, which the verifier reads once each.
//!
//! It reads a global function by its signature alone, whatever the caller knows: the paths through the limiter add to
//! those that lead to a verdict, and don't multiply. Hence numbers as arguments, and nothing inlined.

use crate::{maps::Maps, packet::Linear};
use aya_ebpf::{bindings::xdp_md, helpers::bpf_csum_diff, programs::XdpContext};
use core::ptr::{from_ref, null_mut};
use ntpguard_common::{
    Books as _, Reason, Source, Verdict,
    kiss::{self, Sums},
    limit::{self, Asked},
};

/// In the word with the payload's length: the source has an IPv6 address.
const IS_V6: u64 = 1 << 32;

/// The verdict under limits. If it is a kiss, the frame has become one.
#[inline(always)]
pub(crate) fn limit(ctx: *mut xdp_md, verdict: Verdict) -> Verdict {
    let Verdict { asked, datagram: Some(datagram), .. } = verdict else { return verdict };
    if !asked.is_something() {
        return verdict;
    }
    let (is_v6, [high, low]) = match datagram.source {
        Source::V4(address) => (0, [0, u64::from(u32::from_ne_bytes(address))]),
        Source::V6([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]) => {
            (IS_V6, [[a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]].map(u64::from_ne_bytes))
        }
    };
    let limited = ntpguard_limit(asked.0, high, low, is_v6 | datagram.length as u64 & 0xffff);
    let kissed =
        limited == Reason::Kod.index() && ntpguard_kiss(ctx, asked.0, is_v6 | datagram.payload as u64) != 0;
    let reason = if limited == Reason::Limited.index() {
        Reason::Limited
    } else if kissed {
        Reason::Kod
    } else if limited == Reason::Overload.index() {
        Reason::Overload
    } else if limited == Reason::Untracked.index() {
        Reason::Untracked
    } else {
        // Also what has earned a kiss that can't be given here: the daemon gives it.
        verdict.reason
    };
    Verdict { reason, ..verdict }
}

/// [`ntpguard_common::limit`] with numbers: what is asked, the address's bytes in memory order, and the payload's
/// length. Returns the index of a reason.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ntpguard_limit(asked: u64, high: u64, low: u64, length: u64) -> u32 {
    let source = if length & IS_V6 == 0 {
        Source::V4((low as u32).to_ne_bytes())
    } else {
        let ([a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]) = (high.to_ne_bytes(), low.to_ne_bytes());
        Source::V6([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
    };
    limit::limit(Asked(asked), &source, length as u16 as usize, &Maps).index()
}

/// Turns the frame into its kiss; 0, and nothing is changed, if that can't be done here. `payload` is the offset of the
/// UDP payload.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ntpguard_kiss(ctx: *mut xdp_md, asked: u64, payload: u64) -> u32 {
    let (settings, is_v6) = (Asked(asked).settings(), payload & IS_V6 != 0);
    let Some(limits) = Maps.limits(settings.slot()) else { return 0 };
    // No frame is as long.
    let payload = payload as u16 as usize;
    let mut frame = Linear::of(&XdpContext::new(ctx));
    u32::from(kiss::turn(&mut frame, payload, is_v6, settings, limits, &Helper))
}

/// The kernel's own sum.
struct Helper;

impl Sums for Helper {
    #[inline(always)]
    fn of<T>(&self, header: &T) -> u64 {
        const { assert!(size_of::<T>().is_multiple_of(4)) };
        // SAFETY: it reads T, and nothing before: the other range is empty.
        let sum = unsafe {
            bpf_csum_diff(null_mut(), 0, from_ref(header).cast_mut().cast(), size_of::<T>() as u32, 0)
        };
        sum as u32 as u64
    }
}
