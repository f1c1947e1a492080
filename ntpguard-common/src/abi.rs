//! What the loader and the kernel share: the maps and the values in them.
//!
//! All values consist of integers in host byte order, without padding.
//!
//! | map         | type                | key → value |
//! |-------------|---------------------|---|
//! | `POLICY`    | array, 2            | 0 → [`PolicyWord::to_word`]: what is in force; 1, for loaders only: a bitmap of taken rows |
//! | `RULES`     | array of arrays, 2  | slot → an array of one: the near chunk of [`crate::ranges`] |
//! | `RULES_FAR` | array of arrays     | slot × [`crate::ranges::CHUNKS`] + number → an array of one: a far chunk |
//! | `MASKS`      | array, [`NonContiguousMask::ALL`] | [`NonContiguousMask::place`] → [`NonContiguousMask::to_words`] |
//! | `LIMITS`    | array, 2            | slot → [`Limits`] |
//! | `SOURCES`   | array               | [`crate::limit::table::Set::number`] → [`crate::limit::table::Set`] |
//! | `HEAVY`     | array               | [`crate::limit::top::Heavy::number`] → [`crate::limit::top::Heavy`] |
//! | `CEILING`   | array, 1            | 0 → [`crate::limit::ceiling::Ceiling`] |
//! | `KISSES`    | array, 1            | 0 → [`crate::limit::ceiling::Kisses`] |
//! | `REASONS`   | per-CPU array       | ([`PolicyWord::bank`] × [`ROWS`] + [`row`]) × reasons + [`crate::Reason::index`] → [`Counter`] |
//! | `HITS`      | array               | [`stripe`] + [`crate::verdict::hit`] → [`Counter`] |
//! | `SEEN`      | array, [`GATES`]    | [`gate`] → [`Seen`] |
//! | `SAMPLING`  | array               | which drops are sampled: [`crate::sample`] |
//! | `EVENTS`    | ring buffer         | [`crate::sample::Sample`], then the captured bytes of the frame |
//! | `TEMPLATES` | array, 2            | slot → [`crate::associations::Template::to_words`] |
//! | `ASSOCIATIONS` | array            | [`crate::associations::Set::number`] → [`crate::associations::Set`] |
//! | `LEARNING`  | array, 1            | 0 → [`Learning`] |

mod behaviour;
mod learning;
mod limits;
mod seen;

pub use crate::shared::Counter;
pub use learning::Learning;
pub use limits::Limits;
pub use seen::{GATES, QUEUES, Seen, gate};

use crate::{Reason, Source};

/// Increased with every change to the maps' layout or to the meaning of their values. Maps of another version are never
/// read.
pub const VERSION: u32 = 8;

/// How many policies can be in the maps: the one in force and the one being built.
pub const SLOTS: u32 = 2;

/// The policy word, which says what is in force. It is one word that is written and read in one access, so both
/// families and all flags change at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyWord {
    /// Bits of `PolicyWord::*`; 0 means that no policy is installed.
    pub flags: u32,
    /// The number of the policy; each new policy's is one more.
    pub generation: u32,
}

/// The upper 16 bits say how the daemon behaves: see `behaviour.rs`.
impl PolicyWord {
    /// A policy is installed.
    pub const INSTALLED: u32 = 1;
    /// Nobody may send mode 6: it is dropped before any lookup.
    pub const NOBODY_CONTROL: u32 = 1 << 1;
    /// Nobody may send mode 7, or the daemon doesn't take it: it is dropped before any lookup.
    pub const NOBODY_PRIVATE: u32 = 1 << 2;
    /// Hardening: packets from impossible sources are dropped.
    pub const HARDEN_SOURCES: u32 = 1 << 3;
    /// Hardening: fragments are dropped.
    pub const HARDEN_FRAGMENTS: u32 = 1 << 4;
    /// Hardening: responses to queries are dropped, whoever sends them.
    pub const HARDEN_RESPONSES: u32 = 1 << 5;
    /// Hardening: queries that the daemon would answer with an error about their form are dropped.
    pub const HARDEN_FORM: u32 = 1 << 6;
    /// Hardening: packets with more IPv6 extension headers than are followed are dropped.
    pub const HARDEN_EXTENSIONS: u32 = 1 << 13;
    /// Hardening: frames with more VLAN tags than are followed are dropped.
    pub const HARDEN_TAGS: u32 = 1 << 14;
    /// Hardening: frames with more datagrams than are examined are dropped.
    pub const HARDEN_SEGMENTS: u32 = 1 << 15;
    /// `limited` is enforced.
    pub const LIMITER: u32 = 1 << 9;
    /// The ceiling for all time requests together is enforced.
    pub const CEILING: u32 = 1 << 10;
    /// ntpguard sends the kisses. Otherwise packets that would get one pass to the daemon.
    pub const KISSES: u32 = 1 << 11;
    /// A trial: what would be dropped passes, and is counted apart from real drops.
    pub const TRIAL: u32 = 1 << 12;

    /// Whether all of these bits are set.
    #[inline(always)]
    pub const fn has(self, bits: u32) -> bool {
        self.flags & bits == bits
    }

    /// The one of [`SLOTS`] that holds the rules.
    #[inline(always)]
    pub const fn slot(self) -> u32 {
        self.generation % SLOTS
    }

    /// The one of [`BANKS`] that counts: 1 in a trial.
    #[inline(always)]
    pub const fn bank(self) -> u32 {
        self.flags / Self::TRIAL % BANKS
    }

    /// The value in the map.
    #[inline(always)]
    pub const fn to_word(self) -> u64 {
        (self.generation as u64) << 32 | self.flags as u64
    }

    /// The reverse of [`PolicyWord::to_word`].
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self { flags: word as u32, generation: (word >> 32) as u32 }
    }
}

/// What a source may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Bits of `Rule::*`. From bit [`Rule::MASKS_SHIFT`] on: the non-contiguous masks that come before this rule.
    pub flags: u32,
    /// In the maps, where the rule's counters would begin (see [`crate::verdict::hit`]); in an image, its position
    /// among the rules. [`Rule::NO_INDEX`] if it has no counters.
    pub index: u32,
}

impl Rule {
    /// Stands in for an index; greater than the index of any counter.
    pub const NO_INDEX: u32 = 1 << 31;
    /// `ignore`: nothing passes.
    pub const IGNORE: u32 = 1;
    /// `noserve`: modes 0 to 5 are dropped.
    pub const NOSERVE: u32 = 1 << 1;
    /// `noquery`: modes 6 and 7 are dropped.
    pub const NOQUERY: u32 = 1 << 2;
    /// Hardening: modes 6 and 7 are dropped because no explicit line permits them.
    pub const UNLISTED: u32 = 1 << 3;
    /// `version`: versions other than 4 are dropped.
    pub const VERSION: u32 = 1 << 4;
    /// `notrust`: modes 0 to 5 without a MAC are dropped.
    pub const NOTRUST: u32 = 1 << 5;
    /// The source is this host itself.
    pub const OWN: u32 = 1 << 6;
    /// The daemon has no key that could verify a MAC, and no packet is a request to Samba (`mssntp`): NTPsec discards
    /// packets with a MAC.
    pub const NO_MAC: u32 = 1 << 7;
    /// The line isn't `limited kod`: what exceeds the limit gets no kiss-o'-death.
    pub const NO_KISS: u32 = 1 << 8;
    /// `limited`: the daemon's rate limiter decides.
    pub const LIMITED: u32 = 1 << 9;
    /// There is no rule. Never in a map: the result of a lookup that finds no rule.
    pub const NO_RULE: u32 = 1 << 10;
    /// An entry by `restrict source` comes before this rule, if the source is an association's.
    pub const YIELDS: u32 = 1 << 11;
    /// Bit 0 of the set of non-contiguous masks that come before this rule; there are [`NonContiguousMask::MAX`] bits.
    pub const MASKS_SHIFT: u32 = 16;

    /// Returned where there is no rule.
    pub const NONE: Self = Self { flags: Self::NO_RULE, index: Self::NO_INDEX };

    /// The flags each of which keeps a source from querying.
    pub const ANY_NOQUERY: u32 = Self::IGNORE | Self::NOQUERY | Self::UNLISTED;
    /// The flags that an entry by `restrict source` may lift. `UNLISTED` isn't among them: no line names the source.
    pub const LIFTED: u32 = Self::IGNORE
        | Self::NOSERVE
        | Self::NOQUERY
        | Self::VERSION
        | Self::NOTRUST
        | Self::NO_MAC
        | Self::NO_KISS
        | Self::LIMITED;
    /// The flags that can lead to another verdict on a request of [`crate::form::is_common_request`] than a time packet
    /// that passes if the limits permit it.
    pub const AGAINST_REQUESTS: u32 =
        Self::IGNORE | Self::OWN | Self::NO_RULE | Self::NOSERVE | Self::NOTRUST;

    /// Whether any of these bits is set.
    #[inline(always)]
    pub const fn has(self, bits: u32) -> bool {
        self.flags & bits != 0
    }

    /// The non-contiguous masks that come before this rule if they match the source, the first one at bit 0.
    #[inline(always)]
    pub const fn masks(self) -> u32 {
        self.flags >> Self::MASKS_SHIFT
    }
}

/// What the sources of a prefix may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// From any UDP port but 123.
    pub any_port: Rule,
    /// From UDP port 123, where `ntpport` entries count (ntp_restrict.c:match_restrict4_addr).
    pub ntp_port: Rule,
}

impl Rules {
    /// The one for a UDP source port, in host byte order.
    #[inline(always)]
    pub const fn of(self, port: u16) -> Rule {
        if port == crate::wire::ntp::PORT { self.ntp_port } else { self.any_port }
    }
}

/// An entry whose mask isn't contiguous (its ones have zeros between them), so that it matches no single range of
/// addresses.
///
/// ntpd sorts its entries by address first and mask second, so such an entry may come before one with a longer prefix.
/// The order is known when the policy is compiled: each rule names the masks that come before it ([`Rule::masks`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NonContiguousMask {
    /// The network's address as four 32-bit words, the most significant first; IPv4 in the first word.
    pub address: [u32; 4],
    /// Its mask, in the same form.
    pub mask: [u32; 4],
    /// What the matching sources may do.
    pub rule: Rule,
}

impl NonContiguousMask {
    /// The maximum number in one family; entries beyond it are not enforced.
    pub const MAX: u32 = 16;
    /// The size of `MASKS`: both families in each slot.
    pub const ALL: u32 = Self::MAX * 2 * SLOTS;

    /// The index in `MASKS`; `number` is the position in the order of the family.
    #[inline(always)]
    pub const fn place(slot: u32, is_v6: bool, number: u32) -> u32 {
        (slot * 2 + is_v6 as u32) * Self::MAX + number
    }

    /// A source's address in the form of [`NonContiguousMask::address`].
    #[inline(always)]
    pub fn words(source: &Source) -> [u32; 4] {
        match *source {
            Source::V4(address) => [address, 0, 0, 0],
            Source::V6([high, low]) => [(high >> 32) as u32, high as u32, (low >> 32) as u32, low as u32],
        }
    }

    /// Whether it matches an address, given as [`NonContiguousMask::words`].
    #[inline(always)]
    pub const fn holds(&self, words: [u32; 4]) -> bool {
        let Self { address: [a, b, c, d], mask: [i, j, k, l], .. } = *self;
        let [w, x, y, z] = words;
        (w & i ^ a) | (x & j ^ b) | (y & k ^ c) | (z & l ^ d) == 0
    }

    /// The value in the map.
    pub const fn to_words(self) -> [u32; 10] {
        let Self { address: [a, b, c, d], mask: [i, j, k, l], rule: Rule { flags, index } } = self;
        [a, b, c, d, i, j, k, l, flags, index]
    }

    /// The reverse of [`NonContiguousMask::to_words`].
    #[inline(always)]
    pub const fn from_words([a, b, c, d, i, j, k, l, flags, index]: [u32; 10]) -> Self {
        Self { address: [a, b, c, d], mask: [i, j, k, l], rule: Rule { flags, index } }
    }
}

/// The reasons that come from a flag of a rule, in the order of the rule's counters.
pub const CAUSES: [Reason; 7] = [
    Reason::Ignore,
    Reason::Noquery,
    Reason::Noserve,
    Reason::Version,
    Reason::Notrust,
    Reason::Limited,
    Reason::Kod,
];

/// The position of a reason among [`CAUSES`].
#[inline(always)]
pub const fn cause(reason: Reason) -> Option<u32> {
    // They are adjacent in the table of reasons: this is one comparison, where a match would be three.
    let cause = reason.index().wrapping_sub(CAUSES[0].index());
    if cause < CAUSES.len() as u32 { Some(cause) } else { None }
}

/// The number of rows of counters. Interfaces whose indexes differ by a multiple of it share a row; few hosts guard
/// that many interfaces.
pub const ROWS: u32 = u64::BITS;

/// The number of banks of counters: one for what was done, one for what a trial would have done
/// ([`PolicyWord::TRIAL`]).
pub const BANKS: u32 = 2;

/// An interface's row within a bank of `REASONS`, by the interface's index.
#[inline(always)]
pub const fn row(interface: u32) -> u32 {
    interface % ROWS
}

/// Where a CPU's stripe of counters begins in `HITS`. The first stripe is for trials, and all CPUs share it: a packet
/// that passes costs more than the contention. Then follows a stripe for each CPU, and the last one holds the counts
/// carried over from earlier policies. Each stripe has the same number of counters for each of the two slots.
#[inline(always)]
pub const fn stripe(cpu: u32, bank: u32, stride: u32) -> u32 {
    cpu.wrapping_add(1).wrapping_mul(BANKS - 1 - bank).wrapping_mul(stride)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_one_word() {
        let word = PolicyWord { flags: PolicyWord::INSTALLED | PolicyWord::NOBODY_PRIVATE, generation: 3 };
        assert_eq!((word.to_word(), word.slot()), (0x0000_0003_0000_0005, 1));
        assert_eq!(PolicyWord::from_word(word.to_word()), word);
    }

    #[test]
    fn a_trial_counts_in_a_bank_of_its_own() {
        let flags = PolicyWord::INSTALLED | PolicyWord::CEILING;
        let bank = |flags| PolicyWord { flags, generation: 3 }.bank();
        assert_eq!((bank(flags), bank(flags | PolicyWord::TRIAL), bank(u32::MAX)), (0, 1, 1));
        assert_eq!((stripe(0, 0, 10), stripe(4, 0, 10), stripe(0, 1, 10), stripe(4, 1, 10)), (10, 50, 0, 0));
    }

    #[test]
    fn a_gap_holds_what_agrees_where_its_mask_is_set() {
        let masked = NonContiguousMask {
            address: [0x0a00_0005, 0, 0, 0],
            mask: [0xff00_00ff, 0, 0, 0],
            ..NonContiguousMask::default()
        };
        assert!(masked.holds(NonContiguousMask::words(&Source::of_v4([10, 9, 8, 5]))));
        assert!(!masked.holds(NonContiguousMask::words(&Source::of_v4([10, 9, 8, 6]))));
        assert!(!masked.holds(NonContiguousMask::words(&Source::of_v4([11, 9, 8, 5]))));
        assert_eq!(NonContiguousMask::from_words(masked.to_words()), masked);
        assert_eq!(NonContiguousMask::place(1, true, 15), NonContiguousMask::ALL - 1);
    }
}
