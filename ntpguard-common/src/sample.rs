//! Which drops are reported one by one, and the record of each: the XDP program's side of `ntpguard events`.
//!
//! Whether a drop is sampled depends on the value that its reason's counter has just reached, scrambled: that takes
//! neither a clock nor a random number, and no pattern in the traffic can coincide with a pattern in the sampling. The
//! loader sets what share of each reason's drops is sampled, and adjusts it as rates change. A budget, which the loader
//! refills regularly, makes sure that it never gets more records than it asked for.

use crate::{Reason, shared::Shared};

/// The number of words in the map `SAMPLING`: first, for each reason by its index, the highest scrambled count that is
/// sampled ([`limit`]), then the words below.
pub const WORDS: usize = 48 + Reason::COUNT;
/// Index of the word: how many bytes of each frame are captured; 0 for none.
pub const SNAPLEN: u32 = 40;
/// Index of the word: how many drops may be reported until the loader sets [`SPENT`] to zero. Each reason gets at most
/// half of what the others leave.
pub const BUDGET: u32 = 41;
/// Index of the word: how many drops were reported since the loader last set it to zero.
pub const SPENT: u32 = 42;
/// Index of the word: how many sampled drops weren't reported because the budget was spent.
pub const HELD: u32 = 43;
/// Index of the word: how many sampled drops weren't reported because the ring buffer was full.
pub const FULL: u32 = 44;

/// Index of the word: how many drops for this reason were reported since [`SPENT`] was set to zero.
#[inline(always)]
pub const fn spent(reason: u32) -> u32 {
    48 + reason
}

/// Whether one more drop may be reported. To leave room for the first drops of another reason in a flood, no reason may
/// use more than what is left of the budget: a single reason gets half of it, the next one half of the rest.
#[inline(always)]
pub const fn may_spend(budget: u64, spent: u64, of_reason: u64) -> bool {
    of_reason + spent < budget
}

const _: () = assert!(Reason::COUNT < SNAPLEN as usize, "in cache lines of their own: these are written");

/// Bytes of a frame in a medium-sized record, a power of two: enough for common NTP packets with two tags and a MAC.
pub const SHORT: usize = 256;
/// Bytes of a frame in the largest record, a power of two: enough for every frame but a jumbo frame.
pub const LONG: usize = 2048;

/// With this shift no drop is sampled.
pub const NEVER: u32 = 64;

/// The highest scrambled count that is sampled, for a sample of one in 2^shift.
pub const fn limit(shift: u32) -> u64 {
    match u64::MAX.checked_shr(shift) {
        Some(limit) => limit,
        None => 0,
    }
}

/// Whether the drop is sampled that is the `count`th (from 1) in its counter.
#[inline(always)]
pub const fn is_drawn(count: u64, limit: u64) -> bool {
    scrambled(count) <= limit
}

/// A pseudorandom number for each count: a bijection of 64-bit numbers by two rounds of multiplication, as in
/// splitmix64. A plain multiple of the golden ratio would sample in runs if sources take turns by a Fibonacci number.
/// Only 0 becomes 0.
#[inline(always)]
const fn scrambled(count: u64) -> u64 {
    let count = count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (count ^ count >> 32).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// A sampled drop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Sample {
    /// The time of the drop: CLOCK_MONOTONIC, in nanoseconds.
    pub time: u64,
    /// The source's address; for IPv4, its first four bytes.
    pub source: [u8; 16],
    /// The index of the rule: [`crate::Verdict::rule`].
    pub rule: u32,
    /// The number of the policy in force; if another has just come into force, perhaps still that of the one before.
    pub generation: u32,
    /// The index of the interface that it came in by.
    pub interface: u32,
    /// The frame's length in bytes, as it was counted ([`crate::abi::Counter`]).
    pub length: u32,
    /// The UDP source port, in host byte order.
    pub port: u16,
    /// How many bytes of the frame follow the record.
    pub captured: u16,
    /// The index of the reason: [`Reason::index`].
    pub reason: u8,
    /// The source's address family: 4 or 6; 0 if the frame hides source and port.
    pub family: u8,
    /// How many bytes of `head` are valid.
    pub heads: u8,
    /// Always zero.
    pub nothing: u8,
    /// The first bytes of the UDP payload.
    pub head: [u8; 4],
    /// The flags of that policy: [`crate::abi::PolicyWord::flags`].
    pub flags: u32,
}

const _: () = assert!(size_of::<Sample>() == 56 && align_of::<Sample>() == 8);

impl Sample {
    /// Reads a sample and the captured bytes of its frame from a record of the ring buffer; `None` if the record is too
    /// short.
    pub fn read(record: &[u8]) -> Option<(Self, &[u8])> {
        let (sample, frame) = record.split_at_checked(size_of::<Self>())?;
        // SAFETY: `sample` has the size of a `Sample`, which consists of integers without padding: any bytes make one.
        let sample: Self = unsafe { sample.as_ptr().cast::<Self>().read_unaligned() };
        Some((sample, frame.get(..sample.captured as usize)?))
    }
}

/// The map `SAMPLING`, in memory that the program and the loader share.
pub struct Sampling<'a>(pub &'a [Shared]);

impl Sampling<'_> {
    /// From now on, samples one in 2^shift drops for this reason.
    pub fn draw(&self, reason: Reason, shift: u32) {
        self.set(reason.index(), limit(shift));
    }

    /// Sets the budget, and resets what was spent of it.
    pub fn refill(&self, budget: u64) {
        self.set(BUDGET, budget);
        self.set(SPENT, 0);
        Reason::ALL.iter().for_each(|reason| self.set(spent(reason.index()), 0));
    }

    /// Sets how many bytes of each frame are captured.
    pub fn capture(&self, snaplen: u32) {
        self.set(SNAPLEN, snaplen.into());
    }

    /// How many sampled drops weren't reported, because the budget was spent and because the ring buffer was full.
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
        // Bytes 42 and 43, `captured`: 3 bytes of the frame follow.
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
