//! What `restrict source` says, and the rule that it gives an address.

use crate::{abi::Rule, wire::ntp};

/// Whether an address is that of an association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It is.
    Live,
    /// It may be, since not all associations are known.
    Unknown,
    /// It isn't.
    Dead,
}

/// The entry that every association gets by `restrict source`, and what opens an association.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// The flags of [`Rule::LIFTED`] that the entry doesn't have.
    pub lifts: u32,
    /// Modes of packets that leave, one bit each, that open an association. From bit 8 on: modes that do so only if the
    /// packet has a MAC. And [`Template::NTP_PORT`].
    pub opening: u32,
    /// Modes of packets that arrive, one bit each, that may belong to an association which never sends anything.
    pub uncertain: u32,
}

impl Template {
    /// In [`Template::opening`]: the line says `ntpport`, so that the entry is only for packets from UDP port 123.
    pub const NTP_PORT: u32 = 1 << 16;

    /// Whether there is such a line: requests always open associations then.
    pub const fn is_there(&self) -> bool {
        self.opening != 0
    }

    /// Whether a packet that leaves in this mode opens an association.
    #[inline(always)]
    pub const fn is_opened_by(&self, mode: u8, has_mac: bool) -> bool {
        let modes = if has_mac { self.opening | self.opening >> 8 } else { self.opening };
        modes >> (mode & 7) & 1 != 0
    }

    /// Whether a packet with this first byte may belong to an association which never sends anything.
    #[inline(always)]
    pub const fn is_uncertain(&self, first: u8) -> bool {
        self.uncertain >> (first & 7) & 1 != 0
    }

    /// The rule for a source; `found` is what the access list has for it.
    ///
    /// For an association, too, only what both rules drop is dropped. The daemon's entry may be gone (it has given up a
    /// server), or may never have been made (a pool has more addresses than it uses), and the line may be the stricter of
    /// the two.
    #[inline(always)]
    pub const fn rule(&self, liveness: Liveness, found: Rule, port: u16) -> Rule {
        if self.opening & Self::NTP_PORT != 0 && port != ntp::PORT {
            return found;
        }
        match liveness {
            Liveness::Live | Liveness::Unknown => Rule { flags: found.flags & !self.lifts, ..found },
            Liveness::Dead => found,
        }
    }

    /// The value in the map.
    pub const fn to_words(self) -> [u32; 3] {
        [self.lifts, self.opening, self.uncertain]
    }

    /// The reverse of [`Template::to_words`].
    #[inline(always)]
    pub const fn from_words([lifts, opening, uncertain]: [u32; 3]) -> Self {
        Self { lifts, opening, uncertain }
    }
}
