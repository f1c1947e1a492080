//! The limiter and the kisses as functions of their own, which the verifier reads once each.
//!
//! It reads a global function by its signature alone, whatever the caller knows: the paths through the limiter add to
//! those that lead to a verdict, and don't multiply. Hence numbers as arguments, and nothing inlined.

use crate::{maps::Maps, packet::Linear};
use aya_ebpf::{bindings::xdp_md, helpers::bpf_csum_diff, programs::XdpContext};
use core::ptr::{from_ref, null_mut};
use ntpguard_common::{
    Books as _, Reason, Source, Verdict,
    abi::{Rule, Settings},
    kiss::{self, Sums},
    limit,
    wire::Datagram,
};

/// What is asked, in one word: the payload's first byte, and then these.
const IS_V6: u64 = 1 << 8;
const IS_TIME: u64 = 1 << 9;
const LENGTH_SHIFT: u32 = 16;
const FLAGS_SHIFT: u32 = 32;

/// The verdict under limits. If it is a kiss, the frame has become one.
#[inline(always)]
pub(crate) fn limit(ctx: *mut xdp_md, verdict: Verdict) -> Verdict {
    let Verdict { reason, rule, settings, first, datagram } = verdict;
    let Some(datagram) = datagram.filter(|_| limit::concerns(verdict)) else { return verdict };
    let (is_v6, [high, low]) = match datagram.source {
        Source::V4(address) => (0, [0, u64::from(u32::from_ne_bytes(address))]),
        Source::V6([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]) => {
            (IS_V6, [[a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]].map(u64::from_ne_bytes))
        }
    };
    let is_time = if reason.index() == Reason::Time.index() { IS_TIME } else { 0 };
    let asked = u64::from(first)
        | is_v6
        | is_time
        | (datagram.length as u64 & 0xffff) << LENGTH_SHIFT
        | u64::from(rule.flags) << FLAGS_SHIFT;
    let limited = ntpguard_limit(high, low, settings.to_word(), asked);
    let kissed = limited == Reason::Kod.index()
        && ntpguard_kiss(ctx, settings.to_word(), datagram.payload as u64, is_v6) != 0;
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
        reason
    };
    Verdict { reason, ..verdict }
}

/// [`ntpguard_common::limit`] with numbers: the address's bytes in memory order, a word of settings, and what is asked.
/// Returns the index of a reason.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ntpguard_limit(high: u64, low: u64, settings: u64, asked: u64) -> u32 {
    let source = if asked & IS_V6 == 0 {
        Source::V4((low as u32).to_ne_bytes())
    } else {
        let ([a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]) = (high.to_ne_bytes(), low.to_ne_bytes());
        Source::V6([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
    };
    let length = (asked >> LENGTH_SHIFT) as u16 as usize;
    let verdict = Verdict {
        reason: if asked & IS_TIME != 0 { Reason::Time } else { Reason::Query },
        rule: Rule { flags: (asked >> FLAGS_SHIFT) as u32, ..Rule::NONE },
        settings: Settings::from_word(settings),
        first: asked as u8,
        datagram: Some(Datagram { source, source_port: 0, payload: 0, length, end: 0 }),
    };
    limit::limit(verdict, &Maps).reason.index()
}

/// Turns the frame into its kiss; 0, and nothing is changed, if that can't be done here. `payload` is the offset of the
/// UDP payload.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ntpguard_kiss(ctx: *mut xdp_md, settings: u64, payload: u64, is_v6: u64) -> u32 {
    let settings = Settings::from_word(settings);
    let Some(limits) = Maps.limits(settings.slot) else { return 0 };
    // No frame is as long.
    let payload = payload as u16 as usize;
    let mut frame = Linear::of(&XdpContext::new(ctx));
    u32::from(kiss::turn(&mut frame, payload, is_v6 != 0, settings, limits, &Helper))
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
