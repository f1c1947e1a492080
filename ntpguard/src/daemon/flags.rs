//! What a daemon's access list says of an address, under the names of ntpd's manual (ntp.conf(5), Access Control).

/// A set of flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u32);

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

    /// The flag at this place, from 0 to 31, which decides nothing here.
    pub(crate) const fn bit(place: u32) -> Self {
        Self(1 << place)
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

    /// How many are set.
    #[cfg(test)]
    pub(crate) const fn count(self) -> usize {
        self.0.count_ones() as usize
    }
}
