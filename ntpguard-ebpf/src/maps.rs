//! The maps that the filter counts in and remembers sources in (for their layout see [`ntpguard_common::abi`]), and
//! access to them: the [`LimiterState`]. The maps of the policy are in `policy.rs`.

use crate::policy;
use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    btf_maps::{Array, PerCpuArray, RingBuf},
    helpers::{bpf_get_prandom_u32, bpf_get_smp_processor_id, bpf_jiffies64},
    macros::btf_map,
};
use core::ptr::read_volatile;
use ntpguard_common::{
    LimiterState, Reason,
    abi::{BANKS, Counter, GATES, Limits, ROWS, Seen, gate, row, stripe},
    limit::{
        ceiling::{Ceiling, Kisses},
        table::Set,
        top::{CANDIDATES, Heavy},
    },
    sample::{WORDS, is_drawn},
    shared::{Count, Shared},
};

/// The loader sets the size, a power of two. The values begin at the start of a page, so each lies in one cache line.
#[btf_map]
static SOURCES: Array<Set, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// The number of sets; the loader sets it together with the size of `SOURCES`.
#[unsafe(no_mangle)]
static SETS: u32 = 1;

#[btf_map]
static HEAVY: Array<Heavy, { CANDIDATES as usize }, { BPF_F_MMAPABLE as usize }> = Array::new();

#[btf_map]
static CEILING: Array<Ceiling, 1> = Array::new();

#[btf_map]
static KISSES: Array<Kisses, 1> = Array::new();

#[btf_map]
static REASONS: PerCpuArray<Counter, { (BANKS * ROWS) as usize * Reason::COUNT }> = PerCpuArray::new();

/// Not a per-CPU array: before Linux 6.10 its lookup is a helper call, which would cost more than everything else that
/// is done for a frame without NTP.
#[btf_map]
static SEEN: Array<Seen, { GATES as usize }, { BPF_F_MMAPABLE as usize }> = Array::new();

/// The loader sets the size. Not a per-CPU array, since that can't be mapped into memory, and reading it takes a system
/// call for each counter.
#[btf_map]
static HITS: Array<Counter, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// The number of counters in a stripe; the loader sets it together with the size of `HITS`.
#[unsafe(no_mangle)]
static STRIDE: u32 = 1;

#[btf_map]
static SAMPLING: Array<Shared, WORDS, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Room for the events of more than a second, or of a tenth of a second with whole frames.
#[btf_map]
pub(crate) static EVENTS: RingBuf<(), { 1 << 20 }> = RingBuf::new();

/// The maps, as a [`LimiterState`] and a [`ntpguard_common::Lookup`] (`rule.rs`).
pub(crate) struct Maps;

impl LimiterState for Maps {
    #[inline(always)]
    fn limits(&self, slot: u32) -> Option<&Limits> {
        policy::limits(slot)
    }

    #[inline(always)]
    fn now(&self) -> u32 {
        // SAFETY: it reads a variable of the kernel; the verifier replaces the call by the load.
        unsafe { bpf_jiffies64() as u32 }
    }

    #[inline(always)]
    fn random(&self) -> u32 {
        // SAFETY: it has no arguments.
        unsafe { bpf_get_prandom_u32() }
    }

    #[inline(always)]
    fn set(&self, key: u64) -> Option<&Set> {
        // SAFETY: a static of this program. Volatile, since the loader has changed it.
        let sets = unsafe { read_volatile(&SETS) };
        SOURCES.get(Set::number(key, sets))
    }

    #[inline(always)]
    fn heavy(&self, key: u64) -> Option<&Heavy> {
        HEAVY.get(Heavy::number(key))
    }

    #[inline(always)]
    fn ceiling(&self) -> Option<&Ceiling> {
        CEILING.get(0)
    }

    #[inline(always)]
    fn kisses(&self) -> Option<&Kisses> {
        KISSES.get(0)
    }
}

/// Counts a frame on this CPU, in a [`PolicyWord::bank`]: by its reason and interface, and for the flag of its rule
/// that was hit, if any. Returns the new number of frames in the reason's counter.
#[inline(always)]
pub(crate) fn count(bank: u32, reason: Reason, hit: Option<u32>, interface: u32, bytes: u64) -> u64 {
    let place = (bank * ROWS + row(interface)) * Reason::COUNT as u32 + reason.index();
    let count = add(REASONS.get_ptr_mut(place), bytes);
    if let Some(hit) = hit {
        hit_by(bank, hit, bytes);
    }
    count
}

/// Counts a frame without NTP, by its interface and receive queue.
#[inline(always)]
pub(crate) fn see(interface: u32, queue: u32) {
    if let Some(seen) = SEEN.get(gate(interface, queue)) {
        seen.count();
    }
}

/// Whether the `count`th drop for a reason is sampled.
#[inline(always)]
pub(crate) fn is_told(reason: Reason, count: u64) -> bool {
    sampling(reason.index()).is_some_and(|limit| is_drawn(count, limit.get()))
}

/// A word of `SAMPLING`.
#[inline(always)]
pub(crate) fn sampling(word: u32) -> Option<&'static Shared> {
    SAMPLING.get(word)
}

/// Counts a hit of a rule's flag: in this CPU's counters, or, in a trial, in those that all CPUs share.
#[inline(always)]
fn hit_by(bank: u32, hit: u32, bytes: u64) {
    // SAFETY: a static of this program. Volatile, since the loader has changed it.
    let stride = unsafe { read_volatile(&STRIDE) };
    if hit >= stride {
        return;
    }
    // SAFETY: it has no arguments.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let counter = HITS.get_ptr_mut(stripe(cpu, bank, stride).wrapping_add(hit));
    if bank == 0 {
        add(counter, bytes);
    } else if let Some(counter) = counter {
        // SAFETY: it is a value of the map, which is a counter; all accesses to the counters of trials are to shared
        // words.
        unsafe { &*counter.cast::<Count>() }.add(Counter { packets: 1, bytes });
    }
}

#[inline(always)]
fn add(counter: Option<*mut Counter>, bytes: u64) -> u64 {
    let Some(counter) = counter else { return 0 };
    // SAFETY: it is this CPU's own copy. XDP and tc programs interrupt neither each other nor themselves on the same
    // CPU, since both run with bottom halves disabled.
    unsafe {
        (*counter).packets += 1;
        (*counter).bytes += bytes;
        (*counter).packets
    }
}
