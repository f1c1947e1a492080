//! The flags of a restrict line, under the names of ntpd's manual (ntp.conf(5), Access Control).

use std::fmt;

/// A set of flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u32);

/// Name, bit, and whether 4.2.6, 4.2.8 and NTPsec all know the word (ntp_scanner.c's keyword tables). A daemon
/// stops reading a line at a word it doesn't know.
const FLAGS: &[(&str, Flags, bool)] = &[
    ("ignore", Flags::IGNORE, true),
    ("noserve", Flags::NOSERVE, true),
    ("noquery", Flags::NOQUERY, true),
    ("notrust", Flags(1 << 3), true),
    ("version", Flags(1 << 4), true),
    ("nopeer", Flags(1 << 5), true),
    ("limited", Flags::LIMITED, true),
    ("nomodify", Flags(1 << 7), true),
    ("notrap", Flags(1 << 8), true),
    ("kod", Flags(1 << 9), true),
    ("mssntp", Flags(1 << 10), true),
    ("flake", Flags(1 << 11), true),
    ("ntpport", Flags::NTPPORT, true),
    ("lowpriotrap", Flags(1 << 13), false),
    ("noepeer", Flags(1 << 14), false),
    ("nomrulist", Flags(1 << 15), false),
    ("epeer", Flags(1 << 16), false),
    ("serverresponse", Flags(1 << 17), false), // and a second word, `fuzz`
];

impl Flags {
    /// Nothing is served or answered.
    pub const IGNORE: Self = Self(1);
    /// No time service.
    pub const NOSERVE: Self = Self(1 << 1);
    /// No answers to modes 6 and 7.
    pub const NOQUERY: Self = Self(1 << 2);
    /// Those that drop packets silently, of what is enforced so far.
    pub const DROPPING: Self = Self::IGNORE.with(Self::NOSERVE).with(Self::NOQUERY);
    /// Subject to the rate limiter.
    pub const LIMITED: Self = Self(1 << 6);
    /// Not a flag but a condition: source port 123 only.
    pub const NTPPORT: Self = Self(1 << 12);

    /// The flag of this name, and whether every daemon knows it.
    pub(super) fn named(name: &str) -> Option<(Self, bool)> {
        FLAGS.iter().find(|(known, ..)| *known == name).map(|(_, flag, everywhere)| (*flag, *everywhere))
    }

    /// The known flag that a misspelling was probably meant to be.
    pub(super) fn meant(word: &str) -> Option<&'static str> {
        let word = word.to_ascii_lowercase();
        FLAGS.iter().map(|(name, ..)| *name).find(|name| one_edit(name, &word))
    }

    /// Whether any of `other` is set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What both sets have.
    #[must_use]
    pub const fn shared(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> =
            FLAGS.iter().filter(|(_, flag, _)| self.has(*flag)).map(|(name, ..)| *name).collect();
        f.write_str(&names.join(" "))
    }
}

/// Whether at most one letter inserted, dropped, changed or swapped with its neighbour makes `a` of `b`.
pub(super) fn one_edit(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let prefix = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[prefix..], &b[prefix..]);
    match (a, b) {
        ([], []) => true,
        ([_, a @ ..], [_, b @ ..]) if a == b => true,
        ([_, rest @ ..], b) if rest == b => true,
        (a, [_, rest @ ..]) if a == rest => true,
        ([x, y, a @ ..], [v, w, b @ ..]) => x == w && y == v && a == b,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspellings_find_their_flag() {
        for (word, flag) in
            [("IGNORE", "ignore"), ("noqurey", "noquery"), ("no-query", "noquery"), ("ignor", "ignore")]
        {
            assert_eq!(Flags::meant(word), Some(flag), "{word}");
        }
        assert_eq!(Flags::meant("bogus"), None);
    }

    #[test]
    fn each_name_has_a_bit_of_its_own() {
        let all = FLAGS.iter().fold(0, |all, (_, flag, _)| all | flag.0);
        assert_eq!(all.count_ones() as usize, FLAGS.len());
    }
}
