//! The maps (ntpguard_common::abi has their layout), and what is read from them: the [`LimiterState`], and what `rule.rs` makes the
//! [`ntpguard_common::Lookup`] of.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    btf_maps::{Array, ArrayOfMaps, PerCpuArray, RingBuf},
    helpers::{bpf_get_prandom_u32, bpf_get_smp_processor_id, bpf_jiffies64},
    macros::btf_map,
};
use core::ptr::read_volatile;
use ntpguard_common::{
    LimiterState, Reason,
    abi::{
        BANKS, Counter, GATES, Limits, NonContiguousMask, PolicyWord, ROWS, SLOTS, Seen, gate, row, stripe,
    },
    limit::{
        ceiling::{Ceiling, Kisses},
        table::Set,
        top::{CANDIDATES, Heavy},
    },
    ranges::{CHUNKS, Chunks, FAR, NEAR},
    sample::{WORDS, is_drawn},
    shared::{Count, Shared},
};

#[btf_map]
static POLICY: Array<u64, 2> = Array::new();

/// Arrays of one value: a lookup in an inner map is inlined only if all have as many entries.
#[btf_map]
static RULES: ArrayOfMaps<Array<[u32; NEAR], 1>, { SLOTS as usize }> = ArrayOfMaps::new();

#[btf_map]
static RULES_FAR: ArrayOfMaps<Array<[u32; FAR], 1>, { (SLOTS * CHUNKS) as usize }> = ArrayOfMaps::new();

#[btf_map]
static MASKS: Array<[u32; 10], { NonContiguousMask::ALL as usize }> = Array::new();

#[btf_map]
static LIMITS: Array<Limits, { SLOTS as usize }> = Array::new();

/// The loader sets the size, a power of two. Its values lie at the start of a page, and so each in one cache line.
#[btf_map]
static SOURCES: Array<Set, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// How many sets there are; the loader sets it with the size.
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

/// Not a per-CPU array: its look-up is a call before Linux 6.10, and costs more than all the rest of what a frame without NTP
/// takes.
#[btf_map]
static SEEN: Array<Seen, { GATES as usize }, { BPF_F_MMAPABLE as usize }> = Array::new();

/// The loader sets the size. Not a per-CPU array, which can't be mapped, and takes a system call for each counter.
#[btf_map]
static HITS: Array<Counter, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// How many counters a stripe has; the loader sets it with the size.
#[unsafe(no_mangle)]
static STRIDE: u32 = 1;

#[btf_map]
static SAMPLING: Array<Shared, WORDS, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Room for a second's events and more, and for a tenth of it with whole frames.
#[btf_map]
pub(crate) static EVENTS: RingBuf<(), { 1 << 20 }> = RingBuf::new();

/// The policy in the maps.
pub(crate) struct Maps;

/// What is in force.
#[inline(always)]
pub(crate) fn word() -> PolicyWord {
    // SAFETY: a value of the map. Volatile, so that the word is read whole and once: a policy may come into force in
    // between.
    POLICY
        .get(0)
        .map_or_else(PolicyWord::default, |word| PolicyWord::from_word(unsafe { read_volatile(word) }))
}

/// The chunks of a slot.
pub(crate) struct InSlot(pub(crate) u32);

impl Chunks for InSlot {
    #[inline(always)]
    fn near(&self) -> Option<&[u32; NEAR]> {
        RULES.get(self.0)?.get(0)
    }

    #[inline(always)]
    fn far(&self, number: u32) -> Option<&[u32; FAR]> {
        RULES_FAR.get(self.0 * CHUNKS + number)?.get(0)
    }
}

/// One of a slot's non-contiguous masks, by its number in its family.
#[inline(always)]
pub(crate) fn masked(slot: u32, is_v6: bool, number: u32) -> Option<NonContiguousMask> {
    MASKS
        .get(NonContiguousMask::place(slot, is_v6, number))
        .map(|words| NonContiguousMask::from_words(*words))
}

impl LimiterState for Maps {
    #[inline(always)]
    fn limits(&self, slot: u32) -> Option<&Limits> {
        LIMITS.get(slot)
    }

    #[inline(always)]
    fn now(&self) -> u32 {
        // SAFETY: it reads a variable of the kernel's; the verifier puts the load in its place.
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

/// Counts a frame on this CPU, in a [`PolicyWord::bank`]: under its reason, where it came in, and for the rule's flag that was hit,
/// if one was. Returns which one of its reason it is there, from 1.
#[inline(always)]
pub(crate) fn count(bank: u32, reason: Reason, hit: Option<u32>, interface: u32, bytes: u64) -> u64 {
    let place = (bank * ROWS + row(interface)) * Reason::COUNT as u32 + reason.index();
    let count = add(REASONS.get_ptr_mut(place), bytes);
    if let Some(hit) = hit {
        hit_by(bank, hit, bytes);
    }
    count
}

/// Counts a frame without NTP, by where it came in.
#[inline(always)]
pub(crate) fn see(interface: u32, queue: u32) {
    if let Some(seen) = SEEN.get(gate(interface, queue)) {
        seen.count();
    }
}

/// Whether the `count`th drop for a reason is to be told of.
#[inline(always)]
pub(crate) fn is_told(reason: Reason, count: u64) -> bool {
    sampling(reason.index()).is_some_and(|limit| is_drawn(count, limit.get()))
}

/// A word of what is sampled.
#[inline(always)]
pub(crate) fn sampling(word: u32) -> Option<&'static Shared> {
    SAMPLING.get(word)
}

/// Counts for a rule's flag: on this CPU, or in a trial with all others.
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
        // SAFETY: a value of the map, which is a counter; every access of those of trials is to shared words.
        unsafe { &*counter.cast::<Count>() }.add(Counter { packets: 1, bytes });
    }
}

#[inline(always)]
fn add(counter: Option<*mut Counter>, bytes: u64) -> u64 {
    let Some(counter) = counter else { return 0 };
    // SAFETY: this CPU's own copy; neither XDP nor tc interrupts the other or itself on the same CPU: both run with
    // bottom halves off.
    unsafe {
        (*counter).packets += 1;
        (*counter).bytes += bytes;
        (*counter).packets
    }
}
