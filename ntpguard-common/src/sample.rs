//! Which drops are told of one by one, and what is told: the program's side of `ntpguard events`.
//!
//! The sample is drawn by the count that the drop has just got in its reason's counter, scrambled: no clock, no random
//! number, and no pattern in the traffic that the pattern of the draw could fall in with. How many are drawn of each reason
//! is the loader's to say, and to change as rates change; that no more come than it asked for is seen to here, by a budget
//! that it fills again and again.

use crate::{Reason, shared::Shared};

/// Words of the map `SAMPLING`: first of each reason, by its index, what its scrambled count must not exceed
/// ([`limit`]), then these.
pub const WORDS: usize = 48 + Reason::COUNT;
/// How many bytes of each frame come along; 0: none.
pub const SNAPLEN: u32 = 40;
/// How many are told until the loader sets [`SPENT`] to zero; of each reason, half of what the others leave.
pub const BUDGET: u32 = 41;
/// How many were.
pub const SPENT: u32 = 42;
/// How many were drawn and not told, the budget being spent.
pub const HELD: u32 = 43;
/// How many were drawn and not told, the ring being full.
pub const FULL: u32 = 44;

/// How many were, for a reason.
#[inline(always)]
pub const fn spent(reason: u32) -> u32 {
    48 + reason
}

/// Whether one more may be told, so that a flood for one reason leaves room for the first drops for another: no reason takes
/// more than is left, so one alone gets half of the budget, and the next one half of the rest.
#[inline(always)]
pub const fn may_spend(budget: u64, spent: u64, of_reason: u64) -> bool {
    of_reason + spent < budget
}

const _: () = assert!(Reason::COUNT < SNAPLEN as usize, "in cache lines of their own: these are written");

/// Bytes of a frame that a record of middling size has room for, a power of two: NTP in its usual form, under two tags and
/// with a MAC.
pub const SHORT: usize = 256;
/// One of the largest, a power of two: every frame but a jumbo.
pub const LONG: usize = 2048;

/// With this shift nothing is drawn.
pub const NEVER: u32 = 64;

/// What scrambled counts must not exceed, so that one of 2^shift is drawn.
pub const fn limit(shift: u32) -> u64 {
    match u64::MAX.checked_shr(shift) {
        Some(limit) => limit,
        None => 0,
    }
}

/// Whether the drop that is the `count`th (from 1) of its counter is drawn.
#[inline(always)]
pub const fn is_drawn(count: u64, limit: u64) -> bool {
    scrambled(count) <= limit
}

/// One of 2^64 numbers for each, in no order that traffic has: two rounds of multiplication, as in splitmix64. A plain
/// multiple of the golden ratio would draw runs where sources take turns by a Fibonacci number. Only 0 becomes 0.
#[inline(always)]
const fn scrambled(count: u64) -> u64 {
    let count = count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (count ^ count >> 32).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// A drop that was drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Sample {
    /// When: CLOCK_MONOTONIC, in nanoseconds.
    pub time: u64,
    /// The source's address; of IPv4 the first four bytes.
    pub source: [u8; 16],
    /// [`crate::Verdict::rule`].
    pub rule: u32,
    /// The number of the policy in force, or of the one before if another has just come into force.
    pub generation: u32,
    /// The index of the interface that it came in by.
    pub interface: u32,
    /// The frame's length in bytes, as it was counted.
    pub length: u32,
    /// The UDP source port, in host byte order.
    pub port: u16,
    /// How many bytes of the frame come after this.
    pub captured: u16,
    /// [`Reason::index`].
    pub reason: u8,
    /// Of the source's address: 4 or 6; 0 if the frame hides source and port.
    pub family: u8,
    /// How many of `head` are there.
    pub heads: u8,
    /// Zero.
    pub nothing: u8,
    /// The first bytes of the UDP payload.
    pub head: [u8; 4],
    /// [`crate::abi::PolicyWord::flags`], of that policy.
    pub flags: u32,
}

const _: () = assert!(size_of::<Sample>() == 56 && align_of::<Sample>() == 8);

impl Sample {
    /// Reads one from a record of the ring, and the bytes of the frame that came along; `None` if it is none.
    pub fn read(record: &[u8]) -> Option<(Self, &[u8])> {
        let (sample, frame) = record.split_at_checked(size_of::<Self>())?;
        // SAFETY: as many bytes as it has, all of them integers without padding: any make one.
        let sample: Self = unsafe { sample.as_ptr().cast::<Self>().read_unaligned() };
        Some((sample, frame.get(..sample.captured as usize)?))
    }
}

/// The map `SAMPLING`, in memory that the program and the loader share.
pub struct Sampling<'a>(pub &'a [Shared]);

impl Sampling<'_> {
    /// Draws one of 2^shift drops for this reason from now on.
    pub fn draw(&self, reason: Reason, shift: u32) {
        self.set(reason.index(), limit(shift));
    }

    /// Lets as many be told again as it says.
    pub fn refill(&self, budget: u64) {
        self.set(BUDGET, budget);
        self.set(SPENT, 0);
        Reason::ALL.iter().for_each(|reason| self.set(spent(reason.index()), 0));
    }

    /// Lets this many bytes of each frame come along.
    pub fn capture(&self, snaplen: u32) {
        self.set(SNAPLEN, snaplen.into());
    }

    /// How many were drawn and not told: the budget was spent, or the ring full.
    pub fn lost(&self) -> [u64; 2] {
        [HELD, FULL].map(|word| self.0.get(word as usize).map_or(0, Shared::get))
    }

    fn set(&self, word: u32, value: u64) {
        if let Some(word) = self.0.get(word as usize) {
            word.set(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_so_many_is_drawn_whatever_turns_sources_take() {
        for shift in [0, 3, 7, 10] {
            let drawn = (1..=1 << 20).filter(|count| is_drawn(*count, limit(shift))).count() as f64;
            let expected = f64::from(1 << (20 - shift));
            assert!((drawn - expected).abs() <= 4.0 * expected.sqrt(), "1 of 2^{shift}: {drawn}");
        }
        assert!((0..64).all(|bit| !is_drawn(1 << bit, limit(NEVER))));
        // Powers of two, a Fibonacci number, a prime.
        for turns in [2_u64, 64, 987, 1009] {
            let mut of_each = vec![0_f64; turns as usize];
            (1..=1 << 21)
                .filter(|count| is_drawn(*count, limit(4)))
                .for_each(|count| of_each[(count % turns) as usize] += 1.0);
            let expected = f64::from(1 << 17) / turns as f64;
            for drawn in of_each {
                assert!(
                    (drawn - expected).abs() <= 5.0 * expected.sqrt(),
                    "{turns} turns: {drawn} of {expected}"
                );
            }
        }
    }

    #[test]
    fn one_flood_leaves_room_for_another() {
        let (mut all, mut told) = (0, [0; 8]);
        for of_reason in &mut told {
            while may_spend(100, all, *of_reason) {
                *of_reason += 1;
                all += 1;
            }
        }
        assert_eq!((told, all), ([50, 25, 13, 6, 3, 2, 1, 0], 100));
    }

    #[test]
    fn a_record_is_read_as_it_lies_in_memory() {
        let mut record: Vec<u8> = (0..56).collect();
        // So many bytes come along: 42 and 43.
        record[42..44].copy_from_slice(&3_u16.to_ne_bytes());
        record.extend([7, 8, 9, 10]);
        let (sample, frame) = Sample::read(&record).unwrap();
        assert_eq!(sample.time.to_ne_bytes(), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(
            (sample.source[0], sample.source[15], sample.rule.to_ne_bytes()),
            (8, 23, [24, 25, 26, 27])
        );
        assert_eq!((sample.reason, sample.family, sample.heads, sample.nothing), (44, 45, 46, 47));
        assert_eq!((sample.head, sample.flags.to_ne_bytes()), ([48, 49, 50, 51], [52, 53, 54, 55]));
        assert_eq!(frame, [7, 8, 9]);
        assert_eq!(Sample::read(&record[..58]), None);
        assert_eq!(Sample::read(&record[..55]), None);
    }
}
