//! The flags of a daemon's access list, named as in ntpd's manual (ntp.conf(5), Access Control).

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
    /// The flags that drop packets silently, and that ntpguard enforces.
    pub const DROPPING: Self =
        Self::IGNORE.with(Self::NOSERVE).with(Self::NOQUERY).with(Self::NOTRUST).with(Self::VERSION);
    /// Subject to the rate limiter.
    pub const LIMITED: Self = Self(1 << 6);
    /// No associations for this source. In NTPsec a word without effect, like `notrap`.
    pub const NOPEER: Self = Self(1 << 5);
    /// No traps.
    pub const NOTRAP: Self = Self(1 << 8);
    /// Requests with Microsoft's extension are signed by Samba.
    pub const MSSNTP: Self = Self(1 << 10);
    /// No changes of the configuration by queries.
    pub const NOMODIFY: Self = Self(1 << 7);
    /// Kiss-o'-death packets to sources that are limited.
    pub const KOD: Self = Self(1 << 9);
    /// One packet in ten is lost.
    pub const FLAKE: Self = Self(1 << 11);
    /// Not a flag but a condition: source port 123 only.
    pub const NTPPORT: Self = Self(1 << 12);
    /// 4.2.8 stops at start-up when a line has it.
    pub const EPEER: Self = Self(1 << 16);

    /// The flag with this bit number, 0 to 31, for words that decide nothing here.
    pub(crate) const fn bit(place: u32) -> Self {
        Self(1 << place)
    }

    /// Whether any of `other` is set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The union of both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set without the flags of another.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The intersection of both sets.
    #[must_use]
    pub const fn shared(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The flags, with those that `ignore` implies.
    #[must_use]
    pub const fn expanded(self) -> Self {
        if self.has(Self::IGNORE) { self.with(Self::DROPPING) } else { self }
    }

    /// The number of flags that are set.
    #[cfg(test)]
    pub(crate) const fn count(self) -> usize {
        self.0.count_ones() as usize
    }
}
