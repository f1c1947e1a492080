//! How ntp.conf spells the flags of a restrict line (ntp.conf(5), Access Control).

use super::edit::is_one_edit;
use crate::daemon::{
    dialect::Dialect::{self, Ntp426, Ntp428, NtpSec},
    flags::Flags,
};
use std::fmt;

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
    ("lowpriotrap", Flags::bit(13), &[Ntp426, Ntp428]),
    ("noepeer", Flags::bit(14), &[Ntp428]),
    ("nomrulist", Flags::bit(15), &[Ntp428, NtpSec]),
    ("epeer", Flags::EPEER, &[Ntp428]),
    ("serverresponse", Flags::bit(17), &[Ntp428]), // and a second word, `fuzz`
];

impl Flags {
    /// The flag of this name, if the daemon knows it.
    pub(super) fn named(name: &str, dialect: Dialect) -> Option<Self> {
        let known = FLAGS.iter().find(|(known, _, dialects)| *known == name && dialects.contains(&dialect));
        known.map(|(_, flag, _)| *flag)
    }

    /// The daemons that know a flag of this name; empty if there is no such flag.
    pub(super) fn dialects(name: &str) -> &'static [Dialect] {
        FLAGS.iter().find(|(known, ..)| *known == name).map_or(&[], |(.., dialects)| *dialects)
    }

    /// The flag that a misspelling was probably meant to be.
    pub(super) fn meant(word: &str, dialect: Dialect) -> Option<&'static str> {
        let word = word.to_ascii_lowercase();
        let known = FLAGS.iter().filter(|(.., dialects)| dialects.contains(&dialect));
        known.map(|(name, ..)| *name).find(|name| is_one_edit(name, &word))
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
        let all = FLAGS.iter().fold(Flags::NONE, |all, (_, flag, _)| all.with(*flag));
        assert_eq!(all.count(), FLAGS.len());
    }
}
