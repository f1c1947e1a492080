//! The dialects of ntp.conf: ntp.org's ntpd 4.2.6 and 4.2.8, and NTPsec's. They read the same line differently.

use crate::daemon::profile::{self, Profile};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A way to read ntp.conf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// ntp.org's ntpd 4.2.6, as of 4.2.6p5.
    Ntp426,
    /// ntp.org's ntpd 4.2.8, as of 4.2.8p18.
    Ntp428,
    /// NTPsec's ntpd 1.2.
    NtpSec,
}

/// Where 4.2.8 sorts an `ntpport` entry relative to others for the same network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ordering {
    /// Up to 4.2.8p17: before the entry without `ntpport`, whatever the order of lines (as in 4.2.6 and NTPsec, whose
    /// order no option changes).
    P17,
    /// From 4.2.8p18 on: in the order of lines, and after the built-in default
    /// (ntp_restrict.c:mflags_sorts_before, since 9404716a4).
    #[default]
    P18,
}

/// A daemon, as far as it determines the reading of ntp.conf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Daemon {
    /// Its dialect.
    pub dialect: Dialect,
    /// Before or since p18; only of 4.2.8.
    pub ordering: Ordering,
}

impl Daemon {
    /// The newest release of a dialect.
    pub const fn new(dialect: Dialect) -> Self {
        Self { dialect, ordering: Ordering::P18 }
    }

    /// Whether its dialect is one of these.
    pub fn is(self, dialects: &[Dialect]) -> bool {
        dialects.contains(&self.dialect)
    }

    /// Whether it is NTPsec's.
    pub fn is_ntpsec(self) -> bool {
        self.dialect == Dialect::NtpSec
    }

    /// Whether it is 4.2.8p18 or later.
    pub fn is_p18(self) -> bool {
        self.dialect == Dialect::Ntp428 && self.ordering == Ordering::P18
    }

    /// The length of the longest word that it accepts; it refuses to start on a longer one (ntp_scanner.h:MAX_LEXEME).
    pub const fn max_word(self) -> usize {
        match self.dialect {
            Dialect::Ntp428 => 127,
            Dialect::Ntp426 | Dialect::NtpSec => 1024,
        }
    }

    /// How it behaves.
    pub const fn profile(self) -> &'static Profile {
        match (self.dialect, self.ordering) {
            (Dialect::Ntp426, _) => &profile::NTP_426,
            (Dialect::Ntp428, Ordering::P17) => &profile::NTP_428_P17,
            (Dialect::Ntp428, Ordering::P18) => &profile::NTP_428,
            (Dialect::NtpSec, _) => &profile::NTPSEC,
        }
    }
}

impl Dialect {
    /// Its name on the command line and in outputs.
    pub const fn name(self) -> &'static str {
        Daemon::new(self).profile().name
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.profile().name)
    }
}
