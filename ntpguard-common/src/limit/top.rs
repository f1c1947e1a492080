//! The sources that are limited most: a table of candidates, one for each value of a hash.
//!
//! If several sources share a place, each packet of another source takes a point from the candidate, and a candidate
//! without points is replaced. A source that is limited more often than all others of its place together stays (R. S.
//! Boyer, J S. Moore, "MJRTY", 1981).

use crate::{Source, shared::Shared};

/// The number of candidates.
pub const CANDIDATES: u32 = 1 << 12;

/// A candidate, as it lies in `HEAVY`: one cache line.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Heavy {
    key: Shared,
    /// A lower bound of how many of its packets were refused while it was the candidate.
    packets: Shared,
    /// The address as [`Source::halves`]. No IPv6 source address has an upper half of 0 and a lower half that fits into
    /// 32 bits, so it can't be confused with an IPv4 address.
    high: Shared,
    low: Shared,
}

const _: () = assert!(size_of::<Heavy>() == 64);

impl Heavy {
    /// The index of a key's place.
    #[inline(always)]
    pub const fn number(key: u64) -> u32 {
        // The high bits, since only these are well distributed.
        (key >> (64 - CANDIDATES.trailing_zeros())) as u32
    }

    /// Counts a refused packet of the source with these [`Source::halves`].
    #[inline(always)]
    pub fn count(&self, key: u64, [high, low]: [u64; 2]) {
        let packets = self.packets.get();
        if self.key.get() == key {
            self.packets.set(packets + 1);
        } else if packets > 1 {
            self.packets.set(packets - 1);
        } else {
            self.packets.set(1);
            self.key.set(key);
            self.high.set(high);
            self.low.set(low);
        }
    }

    /// The candidate and its packets, if there is one. The address may be another source's if the place changes at the
    /// same time.
    pub fn read(&self) -> Option<(Source, u64)> {
        if self.key.get() == 0 {
            return None;
        }
        let (high, low) = (self.high.get(), self.low.get());
        let source = match u32::try_from(low) {
            Ok(address) if high == 0 => Source::V4(address),
            _ => Source::V6([high, low]),
        };
        Some((source, self.packets.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_majority_stays() {
        let (often, seldom) = (Source::of_v4([192, 0, 2, 1]), Source::of_v6([0x20; 16]));
        let heavy = Heavy::default();
        assert_eq!(heavy.read(), None);
        for turn in 0..300 {
            if turn % 3 == 0 { heavy.count(7, seldom.halves()) } else { heavy.count(5, often.halves()) }
        }
        assert_eq!(heavy.read().map(|(source, _)| source), Some(often));
        for _ in 0..200 {
            heavy.count(7, seldom.halves());
        }
        assert_eq!(heavy.read().map(|(source, _)| source), Some(seldom));
    }
}
