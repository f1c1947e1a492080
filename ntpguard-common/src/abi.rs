//! What crosses between the loader and the kernel: the values in the maps.
//!
//! Integers only, in host byte order, without padding.
//!
//! | map        | type                       | key → value                                   |
//! |------------|----------------------------|-----------------------------------------------|
//! | `SETTINGS` | array, 1                   | 0 → [`Settings::to_word`]: what is in force   |
//! | `RULES_V4` | array of LPM tries, 2      | slot → trie: prefix → [`Rule::to_words`]      |
//! | `RULES_V6` | array of LPM tries, 2      | the same for IPv6                             |
//! | `REASONS`  | per-CPU array              | [`crate::Reason::index`] → [`Counter`]        |
//! | `HITS`     | per-CPU array              | [`hit`] → [`Counter`]                         |

use crate::{Reason, Verdict};
use core::iter::Sum;

/// How many policies can be in place: the one in force, and the one being built.
pub const SLOTS: u32 = 2;

/// The policy in force. One word, written and read in one access: both families and all settings flip together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Bits of `Settings::*`; 0 means that no policy is installed.
    pub flags: u32,
    /// Which of [`SLOTS`] holds the rules.
    pub slot: u32,
}

impl Settings {
    /// A policy is installed.
    pub const INSTALLED: u32 = 1;
    /// No rule lets anyone query: modes 6 and 7 are dropped before any lookup.
    pub const NOBODY_QUERIES: u32 = 1 << 1;

    /// Hardening: fragments and sources that can't be are dropped.
    pub const HARDENING: u32 = 1 << 2;

    /// Whether all of these bits are set.
    #[inline(always)]
    pub const fn has(self, bits: u32) -> bool {
        self.flags & bits == bits
    }

    /// As it lies in the map.
    #[inline(always)]
    pub const fn to_word(self) -> u64 {
        (self.slot as u64) << 32 | self.flags as u64
    }

    /// The reverse of [`Settings::to_word`].
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self { flags: word as u32, slot: (word >> 32) as u32 }
    }
}

/// What a source may do: the value of a prefix, there as two words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Bits of `Rule::*`.
    pub flags: u32,
    /// Its place in the image's table of rules, and so of its counters in `HITS` (see [`hit`]).
    pub index: u32,
}

impl Rule {
    /// `ignore`: nothing passes.
    pub const IGNORE: u32 = 1;
    /// `noserve`: modes 0 to 5 are dropped.
    pub const NOSERVE: u32 = 1 << 1;
    /// `noquery`: modes 6 and 7 are dropped.
    pub const NOQUERY: u32 = 1 << 2;
    /// Hardening: modes 6 and 7 are dropped because no explicit line permits them.
    pub const UNLISTED: u32 = 1 << 3;

    /// Any of these keeps a source from querying.
    pub const ANY_NOQUERY: u32 = Self::IGNORE | Self::NOQUERY | Self::UNLISTED;

    /// Whether any of these bits is set.
    #[inline(always)]
    pub const fn has(self, bits: u32) -> bool {
        self.flags & bits != 0
    }

    /// As it lies in a trie. An array, since Linux 6.1 refuses an inner map made without BTF where the
    /// template's value is a struct: it takes "no timer found" and "no timer looked for" for different layouts
    /// (kernel/bpf/map_in_map.c:bpf_map_meta_equal, timer_off).
    #[inline(always)]
    pub const fn to_words(self) -> [u32; 2] {
        [self.flags, self.index]
    }

    /// The reverse of [`Rule::to_words`].
    #[inline(always)]
    pub const fn from_words([flags, index]: [u32; 2]) -> Self {
        Self { flags, index }
    }
}

/// The reasons that a flag of a rule gives, in the order of the rule's counters.
pub const CAUSES: [Reason; 3] = [Reason::Ignore, Reason::Noquery, Reason::Noserve];

/// The counter of a drop that a flag of a rule caused.
#[inline(always)]
pub const fn hit(verdict: Verdict) -> Option<u32> {
    // CAUSES lie side by side in the table of reasons: one compare, where a match would be three.
    let cause = verdict.reason.index().wrapping_sub(CAUSES[0].index());
    if cause < CAUSES.len() as u32 {
        Some(verdict.rule.wrapping_mul(CAUSES.len() as u32).wrapping_add(cause))
    } else {
        None
    }
}

/// Packets and bytes: whole frames, from the Ethernet header on. Of a frame in several buffers whose IP packet ends in
/// the first, the bytes after that buffer are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counter {
    /// Frames.
    pub packets: u64,
    /// Bytes of these frames.
    pub bytes: u64,
}

impl Sum for Counter {
    fn sum<I: Iterator<Item = Self>>(counters: I) -> Self {
        counters.fold(Self::default(), |sum, Self { packets, bytes }| Self {
            packets: sum.packets + packets,
            bytes: sum.bytes + bytes,
        })
    }
}

const _: () = assert!(size_of::<Counter>() == 16 && align_of::<Counter>() == 8);

// SAFETY: `#[repr(C)]`, integers only, no padding.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Counter {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_one_word() {
        let settings = Settings { flags: Settings::INSTALLED | Settings::HARDENING, slot: 1 };
        assert_eq!(settings.to_word(), 0x0000_0001_0000_0005);
        assert_eq!(Settings::from_word(settings.to_word()), settings);
    }

    #[test]
    fn each_cause_has_a_counter_of_its_own() {
        for (place, cause) in CAUSES.into_iter().enumerate() {
            let verdict = Verdict { reason: cause, rule: 5, datagram: None };
            assert_eq!(hit(verdict), Some(15 + place as u32));
        }
        for reason in Reason::ALL.iter().filter(|reason| !CAUSES.contains(reason)) {
            assert_eq!(hit(Verdict { reason: *reason, rule: 5, datagram: None }), None);
        }
    }
}
