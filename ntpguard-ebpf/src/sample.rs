//! Telling of a drop that was drawn: a record in the ring.
//!
//! A function of its own for the verifier, as the limiter is (`limit.rs`). Each hook has one, since it is given the hook's
//! context, around [`record`].

use crate::{
    limit::{IS_V6, numbers},
    maps::{EVENTS, Maps, sampling},
    packet::Frame,
};
use aya_ebpf::{bindings::BPF_RB_NO_WAKEUP, cty::c_void, helpers::bpf_ktime_get_ns};
use core::ptr::{addr_of_mut, read_volatile};
use ntpguard_common::{
    Lookup as _, Verdict,
    sample::{BUDGET, FULL, HELD, LONG, SHORT, SNAPLEN, SPENT, Sample, may_spend, spent},
};

/// What is told, in the numbers that a global function takes beside its context.
#[derive(Clone, Copy)]
pub(crate) struct Words {
    /// The source's address, as [`numbers`] has it.
    pub(crate) high: u64,
    pub(crate) low: u64,
    /// The rule's index; from bit 32 on the reason's; from bit 48 on the source port.
    pub(crate) why: u64,
    /// The frame's length; [`IS_V6`] and [`KNOWN`]; from bit 34 on the offset of the payload.
    pub(crate) what: u64,
}

/// In [`Words::what`]: source, port and payload are known.
const KNOWN: u64 = IS_V6 << 1;
const PAYLOAD_SHIFT: u32 = 34;

impl Words {
    /// Of a verdict on a frame of this length.
    #[inline(always)]
    pub(crate) fn new(verdict: Verdict, length: u64) -> Self {
        let why = u64::from(verdict.rule) | u64::from(verdict.reason.index()) << 32;
        let length = length & 0xffff_ffff;
        let Some(datagram) = verdict.datagram else { return Self { high: 0, low: 0, why, what: length } };
        let (is_v6, [high, low]) = numbers(&datagram.source);
        let payload = (datagram.payload as u64) << PAYLOAD_SHIFT;
        let why = why | u64::from(datagram.source_port) << 48;
        Self { high, low, why, what: length | is_v6 | KNOWN | payload }
    }
}

/// A record with room for bytes of the frame.
#[repr(C)]
struct Long<const ROOM: usize> {
    sample: Sample,
    frame: [u8; ROOM],
}

/// Writes a record, if there is room for one and the budget has some left. Returns how many bytes of the frame came along,
/// which nobody asks for: the verifier wants a number.
#[inline(always)]
pub(crate) fn record(frame: &impl Frame, words: Words) -> u32 {
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

/// The same with up to so many bytes of the frame.
#[inline(always)]
fn long<const ROOM: usize>(frame: &impl Frame, words: Words, wanted: u32) -> u32 {
    let Some(mut entry) = EVENTS.reserve_untyped::<Long<ROOM>>(0) else { return count(FULL) };
    let long: *mut Long<ROOM> = entry.as_mut_ptr();
    let wanted = bounded::<ROOM>(wanted);
    // SAFETY: a field of what is reserved.
    let bytes: *mut c_void = unsafe { addr_of_mut!((*long).frame) }.cast();
    // SAFETY: there is room for so many.
    let captured = if unsafe { frame.copy(0, bytes, wanted) } == 0 { wanted } else { 0 };
    // SAFETY: as above; what is behind the bytes captured is nobody's, and the loader doesn't look there.
    unsafe { addr_of_mut!((*long).sample).write(sample(frame, words, captured)) };
    entry.submit(u64::from(BPF_RB_NO_WAKEUP));
    captured
}

/// At most ROOM, and not 0, as no length of a frame is: in words for the verifier, which has lost what the compiler knows
/// from compares before.
#[inline(always)]
fn bounded<const ROOM: usize>(wanted: u32) -> u32 {
    const { assert!(ROOM.is_power_of_two()) };
    let last = u64::from(if wanted > ROOM as u32 { ROOM as u32 } else { wanted }).wrapping_sub(1);
    // SAFETY: on the stack. Volatile, so that the compiler forgets what it knows, and leaves the mask alone.
    let last = unsafe { read_volatile(&last) };
    (last & (ROOM as u64 - 1)) as u32 + 1
}

#[inline(always)]
fn sample(frame: &impl Frame, words: Words, captured: u32) -> Sample {
    let Words { high, low, why, what } = words;
    let settings = Maps.settings();
    let (is_v6, known) = (what & IS_V6 != 0, what & KNOWN != 0);
    let [first, second] = if is_v6 { [high, low] } else { [low, 0] };
    let ([a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]) = (first.to_ne_bytes(), second.to_ne_bytes());
    let payload = (what >> PAYLOAD_SHIFT) as usize;
    let (heads, head) = match frame.load::<[u8; 4]>(payload) {
        Some(head) if known => (4, head),
        _ => match frame.load::<[u8; 2]>(payload) {
            Some([first, second]) if known => (2, [first, second, 0, 0]),
            _ => (0, [0; 4]),
        },
    };
    Sample {
        // SAFETY: it has no arguments.
        time: unsafe { bpf_ktime_get_ns() },
        source: [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p],
        rule: why as u32,
        generation: settings.generation,
        interface: frame.interface(),
        length: what as u32,
        port: (why >> 48) as u16,
        captured: captured as u16,
        reason: (why >> 32) as u8,
        family: match (known, is_v6) {
            (false, _) => 0,
            (true, false) => 4,
            (true, true) => 6,
        },
        heads,
        nothing: 0,
        head,
        flags: settings.flags,
    }
}

/// Counts one that isn't told.
#[inline(always)]
fn count(word: u32) -> u32 {
    if let Some(word) = sampling(word) {
        word.add(1);
    }
    0
}
