//! A source's rule: looked up inline if the way to it is short, otherwise in a global function, which the verifier
//! checks only once (`limit.rs`).

use crate::{
    associations::Associations,
    maps::Maps,
    packed::{IS_NTP_PORT, IS_V6, family, ntp_port, packed, unpacked},
    policy::{self, InSlot},
};
use aya_ebpf::{btf_maps::Array, macros::btf_map};
use ntpguard_common::{
    Lookup, Source,
    abi::{NonContiguousMask, PolicyWord, Rule},
    associations,
    ranges::{self, Chunks, FAR, NEAR},
    wire::ntp,
};

impl Lookup for Maps {
    #[inline(always)]
    fn word(&self) -> PolicyWord {
        policy::word()
    }

    /// Not called: [`Lookup::deciding`] is all that verdicts need.
    #[inline(always)]
    fn rule(&self, _: u32, _: &Source, _: u16) -> Rule {
        Rule::NONE
    }

    #[inline(always)]
    fn deciding(&self, slot: u32, source: &Source, port: u16, first: u8) -> Rule {
        rule(slot, source, port, first)
    }
}

#[btf_map]
static MASKS: Array<[u32; 10], { NonContiguousMask::ALL as usize }> = Array::new();

/// In the first argument of [`ntpguard_rule`]: the position of the packet's first byte.
const FIRST_SHIFT: u32 = 40;

/// The rule for a packet, by its source, its port and its first byte.
#[inline(always)]
fn rule(slot: u32, source: &Source, port: u16, first: u8) -> Rule {
    // Without the call, which would take a quarter of the total time.
    if let Source::V4(address) = *source
        && let Some(rule) = ranges::of_v4(&Shallow(InSlot(slot)), address, port == ntp::PORT)
        && rule.masks() == 0
        && !rule.has(Rule::YIELDS)
    {
        return rule;
    }
    let [high, low] = source.halves();
    let which = u64::from(slot) | family(source.is_v6()) | ntp_port(port) | u64::from(first) << FIRST_SHIFT;
    unpacked(ntpguard_rule(which, high, low))
}

/// A slot's chunks, with lookups limited to a depth that the verifier can check on each path.
struct Shallow(InSlot);

impl Chunks for Shallow {
    const DEPTH: u64 = 3;

    #[inline(always)]
    fn near(&self) -> Option<&[u32; NEAR]> {
        self.0.near()
    }

    #[inline(always)]
    fn far(&self, number: u32) -> Option<&[u32; FAR]> {
        self.0.far(number)
    }
}

/// The lookup as a global function with numbers as arguments: the slot with the flags of family and port and the
/// packet's first byte, and the source's [`Source::halves`]. Returns the rule's index (upper 32 bits) and flags.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ntpguard_rule(which: u64, high: u64, low: u64) -> u64 {
    let (slot, is_v6) = (which as u32, which & IS_V6 != 0);
    let (chunks, is_ntp_port) = (InSlot(slot), which & IS_NTP_PORT != 0);
    let found = if is_v6 {
        ranges::of_v6(&chunks, [high, low], is_ntp_port)
    } else {
        ranges::of_v4(&chunks, low as u32, is_ntp_port)
    };
    let rule = found.unwrap_or(Rule::NONE);
    let source = if is_v6 { Source::V6([high, low]) } else { Source::V4(low as u32) };
    let rule = if rule.masks() == 0 { rule } else { before(rule, slot, &source) };
    packed(if rule.has(Rule::YIELDS) {
        let (port, first) = (if is_ntp_port { ntp::PORT } else { 0 }, (which >> FIRST_SHIFT) as u8);
        associations::rule(rule, &source, port, first, slot, &Associations)
    } else {
        rule
    })
}

/// The rule of the first non-contiguous mask that comes before a rule and matches the source, or the rule itself.
#[inline(always)]
fn before(rule: Rule, slot: u32, source: &Source) -> Rule {
    let words = NonContiguousMask::words(source);
    for number in 0..NonContiguousMask::MAX {
        if rule.masks() >> number & 1 != 0
            && let Some(masked) = masked(slot, source.is_v6(), number)
            && masked.holds(words)
        {
            return masked.rule;
        }
    }
    rule
}

/// One of a slot's non-contiguous masks, by its number in its family.
#[inline(always)]
fn masked(slot: u32, is_v6: bool, number: u32) -> Option<NonContiguousMask> {
    MASKS
        .get(NonContiguousMask::place(slot, is_v6, number))
        .map(|words| NonContiguousMask::from_words(*words))
}
