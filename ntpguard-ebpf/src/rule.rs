//! A source's rule: in a function of its own, which the verifier reads once, as the limiter is (`limit.rs`).

use crate::{
    limit::IS_V6,
    maps::{self, InSlot},
};
use ntpguard_common::{
    Source,
    abi::{Gap, Rule},
    ranges,
    wire::ntp,
};

/// In the first argument, beside the slot and [`IS_V6`]: the source port is 123.
const IS_NTP_PORT: u64 = IS_V6 << 1;
/// There is no rule: flags that none has.
const NONE: u64 = u64::MAX;

/// The rule for a source and its port.
#[inline(always)]
pub(crate) fn rule(slot: u32, source: &Source, port: u16) -> Option<Rule> {
    let port = if port == ntp::PORT { IS_NTP_PORT } else { 0 };
    let (is_v6, [high, low]) = match *source {
        Source::V4(address) => (0, [0, u64::from(u32::from_be_bytes(address))]),
        Source::V6([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]) => {
            (IS_V6, [[a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]].map(u64::from_be_bytes))
        }
    };
    match ntpguard_rule(u64::from(slot) | is_v6 | port, high, low) {
        NONE => None,
        word => Some(Rule { flags: word as u32, index: (word >> 32) as u32 }),
    }
}

/// [`rule`] with numbers: the slot and what there is to say of the source, and its address in host byte order. Returns a
/// rule's flags, and its index above them.
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
    let Some(rule) = found else { return NONE };
    let Rule { flags, index } = if rule.gaps() == 0 { rule } else { before(rule, slot, is_v6, [high, low]) };
    u64::from(index) << 32 | u64::from(flags)
}

/// The first of the gaps before a rule that holds the source, or the rule itself.
#[inline(always)]
fn before(rule: Rule, slot: u32, is_v6: bool, [high, low]: [u64; 2]) -> Rule {
    let words = if is_v6 {
        [(high >> 32) as u32, high as u32, (low >> 32) as u32, low as u32]
    } else {
        [low as u32, 0, 0, 0]
    };
    for number in 0..Gap::MAX {
        if rule.gaps() >> number & 1 != 0
            && let Some(gap) = maps::gap(slot, is_v6, number)
            && gap.holds(words)
        {
            return gap.rule;
        }
    }
    rule
}
