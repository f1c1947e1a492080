//! Sampling: writes a record of a drop to the ring buffer.
//!
//! Each hook wraps [`record`] in a global function that takes the hook's context, and that the verifier checks only
//! once (`limit.rs`).

use crate::{
    frame::Frame,
    maps::{EVENTS, sampling},
    packed_verdict::PackedVerdict,
    packet::bounded,
    policy::word,
};
use aya_ebpf::{bindings::BPF_RB_NO_WAKEUP, cty::c_void, helpers::bpf_ktime_get_ns};
use core::ptr::addr_of_mut;
use ntpguard_common::{
    Source,
    sample::{BUDGET, FULL, HELD, LONG, SHORT, SNAPLEN, SPENT, Sample, may_spend, spent},
};

/// A record with room for ROOM bytes of the frame.
#[repr(C)]
struct Long<const ROOM: usize> {
    sample: Sample,
    frame: [u8; ROOM],
}

/// Writes a record if the ring buffer has room and the budget isn't spent. Returns the number of bytes captured, which
/// nobody uses: the verifier requires a number.
#[inline(always)]
pub(crate) fn record(frame: &impl Frame, words: PackedVerdict) -> u32 {
    let reason = (words.why >> 32) as u8;
    let (Some(budget), Some(all), Some(of_reason)) =
        (sampling(BUDGET), sampling(SPENT), sampling(spent(u32::from(reason))))
    else {
        return 0;
    };
    if !may_spend(budget.get(), all.get(), of_reason.get()) {
        return count(HELD);
    }
    all.add(1);
    of_reason.add(1);
    let snaplen = sampling(SNAPLEN).map_or(0, |snaplen| snaplen.get());
    let length = words.what & 0xffff_ffff;
    let wanted = if snaplen < length { snaplen } else { length } as u32;
    if snaplen == 0 {
        let Some(mut entry) = EVENTS.reserve_untyped::<Sample>(0) else { return count(FULL) };
        entry.write(sample(frame, words, 0));
        entry.submit(u64::from(BPF_RB_NO_WAKEUP));
        0
    } else if wanted <= SHORT as u32 {
        long::<SHORT>(frame, words, wanted)
    } else {
        long::<LONG>(frame, words, wanted)
    }
}

/// Like [`record`], with up to ROOM bytes of the frame.
#[inline(always)]
fn long<const ROOM: usize>(frame: &impl Frame, words: PackedVerdict, wanted: u32) -> u32 {
    let Some(mut entry) = EVENTS.reserve_untyped::<Long<ROOM>>(0) else { return count(FULL) };
    let long: *mut Long<ROOM> = entry.as_mut_ptr();
    // At least 1, since no frame has length 0, and at most ROOM.
    let last = (if wanted > ROOM as u32 { ROOM as u32 } else { wanted }).wrapping_sub(1);
    let wanted = bounded::<ROOM>(last as usize) as u32 + 1;
    // SAFETY: it is a field of the reserved record.
    let bytes: *mut c_void = unsafe { addr_of_mut!((*long).frame) }.cast();
    // SAFETY: there is room for `wanted` bytes.
    let captured = if unsafe { frame.copy(0, bytes, wanted) } == 0 { wanted } else { 0 };
    // SAFETY: as above. What follows the captured bytes is uninitialised, and the loader doesn't read it.
    unsafe { addr_of_mut!((*long).sample).write(sample(frame, words, captured)) };
    entry.submit(u64::from(BPF_RB_NO_WAKEUP));
    captured
}

#[inline(always)]
fn sample(frame: &impl Frame, words: PackedVerdict, captured: u32) -> Sample {
    let PackedVerdict { why, what } = words;
    let word = word();
    let (mut family, mut halves, mut port, mut heads, mut head) = (0, [0; 2], 0, 0, [0; 4]);
    if let Some(datagram) = words.datagram()
        && let Some(source) = datagram.source(frame)
    {
        (family, halves) = match source {
            Source::V4(address) => (4, [u64::from(address) << 32, 0]),
            Source::V6(halves) => (6, halves),
        };
        port = datagram.source_port(frame).unwrap_or(0);
        if let Some(four) = frame.load::<[u8; 4]>(datagram.payload) {
            (heads, head) = (4, *four);
        } else if let Some(two) = frame.load::<[u8; 2]>(datagram.payload) {
            (heads, head) = (2, [two[0], two[1], 0, 0]);
        }
    }
    let [[a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]] = halves.map(u64::to_be_bytes);
    Sample {
        // SAFETY: it has no arguments.
        time: unsafe { bpf_ktime_get_ns() },
        source: [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p],
        rule: why as u32,
        generation: word.generation,
        interface: frame.interface(),
        length: what as u32,
        port,
        captured: captured as u16,
        reason: (why >> 32) as u8,
        family,
        heads,
        nothing: 0,
        head,
        flags: word.flags,
    }
}

/// Counts a sampled drop that isn't reported.
#[inline(always)]
fn count(word: u32) -> u32 {
    if let Some(word) = sampling(word) {
        word.add(1);
    }
    0
}
