//! The flags of a restrict line, under the names of ntpd's manual (ntp.conf(5), Access Control).

use super::edit::is_one_edit;
use crate::daemon::dialect::Dialect::{self, Ntp426, Ntp428, NtpSec};
use std::fmt;

/// A set of flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u32);

const ALL: &[Dialect] = &[Ntp426, Ntp428, NtpSec];

/// Name, bit, and the daemons that know the word (ntp_scanner.c's keyword tables). A daemon stops reading a line at a
/// word that it doesn't know.
const FLAGS: &[(&str, Flags, &[Dialect])] = &[
    ("ignore", Flags::IGNORE, ALL),
    ("noserve", Flags::NOSERVE, ALL),
    ("noquery", Flags::NOQUERY, ALL),
    ("notrust", Flags::NOTRUST, ALL),
    ("version", Flags::VERSION, ALL),
    ("nopeer", Flags::NOPEER, ALL),
    ("limited", Flags::LIMITED, ALL),
    ("nomodify", Flags::NOMODIFY, ALL),
    ("notrap", Flags::NOTRAP, ALL),
    ("kod", Flags::KOD, ALL),
    ("mssntp", Flags::MSSNTP, ALL),
    ("flake", Flags::FLAKE, ALL),
    ("ntpport", Flags::NTPPORT, ALL),
    ("lowpriotrap", Flags(1 << 13), &[Ntp426, Ntp428]),
    ("noepeer", Flags(1 << 14), &[Ntp428]),
    ("nomrulist", Flags(1 << 15), &[Ntp428, NtpSec]),
    ("epeer", Flags::EPEER, &[Ntp428]),
    ("serverresponse", Flags(1 << 17), &[Ntp428]), // and a second word, `fuzz`
];

impl Flags {
    /// No flag: full access.
    pub const NONE: Self = Self(0);
    /// Nothing is served or answered.
    pub const IGNORE: Self = Self(1);
    /// No time service.
    pub const NOSERVE: Self = Self(1 << 1);
    /// No answers to modes 6 and 7.
    pub const NOQUERY: Self = Self(1 << 2);
    /// No time service without a MAC.
    pub const NOTRUST: Self = Self(1 << 3);
    /// No NTP version but 4.
    pub const VERSION: Self = Self(1 << 4);
    /// Those that drop packets silently, and are enforced.
    pub const DROPPING: Self =
        Self::IGNORE.with(Self::NOSERVE).with(Self::NOQUERY).with(Self::NOTRUST).with(Self::VERSION);
    /// Subject to the rate limiter.
    pub const LIMITED: Self = Self(1 << 6);
    /// No associations for this source; words without effect in NTPsec, like `notrap`.
    pub const NOPEER: Self = Self(1 << 5);
    /// No traps.
    pub const NOTRAP: Self = Self(1 << 8);
    /// Requests of Microsoft's kind are signed by Samba.
    pub const MSSNTP: Self = Self(1 << 10);
    /// No change of the configuration by query.
    pub const NOMODIFY: Self = Self(1 << 7);
    /// A kiss-o'-death to those who are limited.
    pub const KOD: Self = Self(1 << 9);
    /// One packet in ten is lost.
    pub const FLAKE: Self = Self(1 << 11);
    /// Not a flag but a condition: source port 123 only.
    pub const NTPPORT: Self = Self(1 << 12);
    /// 4.2.8 stops at start-up.
    pub const EPEER: Self = Self(1 << 16);

    /// The flag of this name, if the daemon knows it.
    pub(super) fn named(name: &str, dialect: Dialect) -> Option<Self> {
        let known = FLAGS.iter().find(|(known, _, dialects)| *known == name && dialects.contains(&dialect));
        known.map(|(_, flag, _)| *flag)
    }

    /// The daemons that know a flag of this name; none if it isn't one.
    pub(super) fn dialects(name: &str) -> &'static [Dialect] {
        FLAGS.iter().find(|(known, ..)| *known == name).map_or(&[], |(.., dialects)| *dialects)
    }

    /// The flag that a misspelling was probably meant to be.
    pub(super) fn meant(word: &str, dialect: Dialect) -> Option<&'static str> {
        let word = word.to_ascii_lowercase();
        let known = FLAGS.iter().filter(|(.., dialects)| dialects.contains(&dialect));
        known.map(|(name, ..)| *name).find(|name| is_one_edit(name, &word))
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

    /// This set without another.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What both sets have.
    #[must_use]
    pub const fn shared(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// With what `ignore` implies.
    #[must_use]
    pub const fn expanded(self) -> Self {
        if self.has(Self::IGNORE) { self.with(Self::DROPPING) } else { self }
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> =
            FLAGS.iter().filter(|(_, flag, _)| self.has(*flag)).map(|(name, ..)| *name).collect();
        f.write_str(&names.join(" "))
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
            assert_eq!(Flags::meant(word, NtpSec), Some(flag), "{word}");
        }
        assert_eq!(Flags::meant("bogus", NtpSec), None);
        assert_eq!(Flags::meant("nomrulst", NtpSec), Some("nomrulist"));
        assert_eq!(Flags::meant("nomrulst", Ntp426), None, "a flag of another daemon is no help");
    }

    #[test]
    fn each_name_has_a_bit_of_its_own() {
        let all = FLAGS.iter().fold(0, |all, (_, flag, _)| all | flag.0);
        assert_eq!(all.count_ones() as usize, FLAGS.len());
    }
}
