//! The maps that hold the policy (for their layout see [`ntpguard_common::abi`]), for all programs that go by it.

use aya_ebpf::{
    btf_maps::{Array, ArrayOfMaps},
    macros::btf_map,
};
use core::ptr::read_volatile;
use ntpguard_common::{
    abi::{Limits, PolicyWord, SLOTS},
    ranges::{CHUNKS, Chunks, FAR, NEAR},
};

#[btf_map]
static POLICY: Array<u64, 2> = Array::new();

/// Each inner map is an array of one value: the lookup is inlined only if all inner maps have the same number of
/// entries.
#[btf_map]
static RULES: ArrayOfMaps<Array<[u32; NEAR], 1>, { SLOTS as usize }> = ArrayOfMaps::new();

#[btf_map]
static RULES_FAR: ArrayOfMaps<Array<[u32; FAR], 1>, { (SLOTS * CHUNKS) as usize }> = ArrayOfMaps::new();

#[btf_map]
static LIMITS: Array<Limits, { SLOTS as usize }> = Array::new();

/// The policy word in force.
#[inline(always)]
pub(crate) fn word() -> PolicyWord {
    // SAFETY: it is a value of the map. The read is volatile so that the word is read whole and only once, since
    // another policy may come into force at any time.
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

/// The limits of a slot.
#[inline(always)]
pub(crate) fn limits(slot: u32) -> Option<&'static Limits> {
    LIMITS.get(slot)
}
