//! A source's rule: in place where it is near, else in a function of its own, which the verifier reads once, as the limiter
//! is (`limit.rs`).

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

/// In the first argument, beside the slot and [`IS_V6`]: the source port is 123.
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
    // Without the call, which costs a quarter of it all.
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

/// The chunks of a slot, and a way through them that is short enough for the verifier to walk it again and again.
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

/// [`rule`] with numbers: the slot and what there is to say of the source, and its [`Source::halves`]. Returns a rule's
/// flags, and its index above them.
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

/// The first of the non-contiguous masks before a rule that holds the source, or the rule itself.
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
