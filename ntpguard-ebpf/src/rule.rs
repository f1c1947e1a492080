//! A source's rule: looked up inline if the way to it is short, otherwise in a global function, which the verifier
//! checks only once (`limit.rs`).

use crate::{
    maps::{self, InSlot, Maps},
    packed::{IS_V6, family},
};
use ntpguard_common::{
    Lookup, Source,
    abi::{NonContiguousMask, PolicyWord, Rule},
    ranges::{self, Chunks, FAR, NEAR},
    wire::ntp,
};

/// In the first argument, besides the slot and [`IS_V6`]: the source port is 123.
const IS_NTP_PORT: u64 = IS_V6 << 1;

impl Lookup for Maps {
    #[inline(always)]
    fn word(&self) -> PolicyWord {
        maps::word()
    }

    #[inline(always)]
    fn rule(&self, slot: u32, source: &Source, port: u16) -> Rule {
        rule(slot, source, port)
    }
}

/// The rule for a source and its port.
#[inline(always)]
fn rule(slot: u32, source: &Source, port: u16) -> Rule {
    // Without the call, which would take a quarter of the total time.
    if let Source::V4(address) = *source
        && let Some(rule) = ranges::of_v4(&Shallow(InSlot(slot)), address, port == ntp::PORT)
        && rule.masks() == 0
    {
        return rule;
    }
    let port = if port == ntp::PORT { IS_NTP_PORT } else { 0 };
    let [high, low] = source.halves();
    let word = ntpguard_rule(u64::from(slot) | family(source.is_v6()) | port, high, low);
    Rule { flags: word as u32, index: (word >> 32) as u32 }
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

/// The lookup as a global function with numbers as arguments: the slot with the flags of family and port, and the
/// source's [`Source::halves`]. Returns the rule's index (upper 32 bits) and flags.
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
    let Rule { flags, index } = if rule.masks() == 0 { rule } else { before(rule, slot, &source) };
    u64::from(index) << 32 | u64::from(flags)
}

/// The rule of the first non-contiguous mask that comes before a rule and matches the source, or the rule itself.
#[inline(always)]
fn before(rule: Rule, slot: u32, source: &Source) -> Rule {
    let words = NonContiguousMask::words(source);
    for number in 0..NonContiguousMask::MAX {
        if rule.masks() >> number & 1 != 0
            && let Some(masked) = maps::masked(slot, source.is_v6(), number)
            && masked.holds(words)
        {
            return masked.rule;
        }
    }
    rule
}
