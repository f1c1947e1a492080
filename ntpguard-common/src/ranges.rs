//! Rules by ranges of addresses: how they are stored in the maps, and how a source's rule is found.
//!
//! A policy has up to four lists of ranges: one for each address family and for source port 123 or any other port. Each
//! list is indexed by a tree. A node of the tree divides a part of the address space into buckets of equal size. A
//! bucket holds a rule if a single range covers it; otherwise it points to a run of a few ranges, or, if many ranges
//! begin in it, to another node. That node begins at or shortly before the first of these ranges and is as wide as they
//! need. A lookup thus visits a few nodes however many rules there are, and touches two cache lines in each; the last
//! of them often holds the rule.
//!
//! Everything is stored as 32-bit words with addresses. The first [`NEAR_WORDS`] words lie in one array, which is
//! enough for a policy of ordinary size; further words lie in chunks of [`FAR_WORDS`], as many as are needed. Values
//! this large are accessed in place, without a helper call.
//!
//! | words  | meaning                                                                                          |
//! |--------|--------------------------------------------------------------------------------------------------|
//! | roots  | a bucket for each [`root`], from address 0 on                                                    |
//! | bucket | [`Rule`]'s flags and index; or [`WAY`] \| number of ranges, address of a run; or [`WAY`], address of a node |
//! | node   | first address, bits << 8 \| shift, the address of its 2^bits buckets                            |
//! | range  | first address, then [`Rule`]'s flags and index; it ends before the next one                      |
//!
//! A bucket, a node's three fields, or a run never extends across two chunks. The first range of a run begins at or
//! before the first address of the bucket that points to it.

use crate::abi::Rule;
use core::array;

/// Words in the near chunk: 256 KiB.
pub const NEAR_WORDS: usize = 1 << 16;

/// Words in a far chunk: 2 MiB. The largest value that a map may have in Linux 6.1 is 4 MiB (KMALLOC_MAX_SIZE).
pub const FAR_WORDS: usize = 1 << FAR_SHIFT;

const FAR_SHIFT: u32 = 19;

/// Unused words at the end of a chunk. With them, one mask on an address is enough for the verifier to accept that
/// several words are read from it on.
const MARGIN: usize = 8;

/// The length of the near chunk.
pub const NEAR: usize = NEAR_WORDS + MARGIN;

/// The length of a far chunk.
pub const FAR: usize = FAR_WORDS + MARGIN;

/// Chunks in a slot: 254 MiB. The near chunk is number 0.
pub const CHUNKS: u32 = 1 << 7;

/// Flag in a bucket's first word: the bucket holds no rule, but points to a run or a node. None of [`Rule`]'s flags.
pub const WAY: u32 = 1 << 15;

const _: () = assert!(Rule::NO_RULE < WAY && WAY < 1 << Rule::MASKS_SHIFT);

/// The maximum number of ranges in a run, which then takes two or three cache lines.
pub const RUN: usize = 13;

/// The bits of a bucket's first word that hold the number of ranges.
const RANGES: u64 = 15;

const _: () = assert!(RUN <= RANGES as usize);

/// The minimum of a node's `bits`.
pub const MIN_BITS: u32 = 6;

/// The number of the root for a family and a port.
#[inline(always)]
pub const fn root(is_v6: bool, is_ntp_port: bool) -> u32 {
    (is_v6 as u32) << 1 | is_ntp_port as u32
}

/// The number of roots.
pub const ROOTS: u32 = 4;

/// Words in a bucket.
pub const BUCKET: u64 = 2;

/// The chunks of a policy: maps in the kernel, vectors on the host.
pub trait Chunks {
    /// The maximum number of nodes that a lookup visits.
    const DEPTH: u64 = u64::MAX;

    /// The near chunk.
    fn near(&self) -> Option<&[u32; NEAR]>;
    /// A far chunk, by its number from 1 on.
    fn far(&self, number: u32) -> Option<&[u32; FAR]>;
}

/// A chunk of words. All values here have 64 bits: the BPF target has no shorter registers, and it takes two
/// instructions to clear the upper half of one.
#[derive(Clone, Copy)]
enum Chunk<'a> {
    /// The near chunk: addresses below [`NEAR_WORDS`].
    Near(&'a [u32; NEAR]),
    /// A far chunk: [`FAR_WORDS`] further addresses.
    Far(&'a [u32; FAR]),
}

impl<'a> Chunk<'a> {
    /// The chunk that holds an address.
    #[inline(always)]
    fn of<C: Chunks>(chunks: &'a C, near: &'a [u32; NEAR], address: u64) -> Option<Self> {
        match address >> FAR_SHIFT & (CHUNKS as u64 - 1) {
            0 => Some(Self::Near(near)),
            number => chunks.far(number as u32).map(Self::Far),
        }
    }

    /// The words from an address on; the address must be in this chunk.
    #[inline(always)]
    fn words<const COUNT: usize>(self, address: u64) -> [u64; COUNT] {
        match self {
            Self::Near(chunk) => words(chunk, address),
            Self::Far(chunk) => words(chunk, address),
        }
    }

    /// The rule for a key from a run of ranges in this chunk.
    #[inline(always)]
    fn rule<K: Key>(self, run: u64, ranges: u64, key: K) -> Rule {
        match self {
            Self::Near(chunk) => among(chunk, run, ranges, key),
            Self::Far(chunk) => among(chunk, run, ranges, key),
        }
    }
}

/// The words of a chunk from an address on.
#[inline(always)]
fn words<const LEN: usize, const COUNT: usize>(chunk: &[u32; LEN], address: u64) -> [u64; COUNT] {
    const { assert!(COUNT <= MARGIN && (LEN - MARGIN).is_power_of_two()) };
    let first = address as usize % (LEN - MARGIN);
    array::from_fn(|word| chunk[first + word].into())
}

/// The rule of the last range in a run that begins at or before the key. The first range always does.
#[inline(always)]
fn among<K: Key, const LEN: usize>(chunk: &[u32; LEN], run: u64, ranges: u64, key: K) -> Rule {
    let width = K::WORDS + 2;
    let end = run + ranges * width;
    let mut place = run;
    for step in [8, 4, 2, 1] {
        let next = place + step * width;
        if next < end && key.reaches(K::of(chunk, next).0) {
            place = next;
        }
    }
    rule(K::of(chunk, place).1)
}

/// An address, as it is looked up and as it is stored: in words, the most significant first.
trait Key: Copy {
    /// The number of words.
    const WORDS: u64;
    /// The maximum depth of a tree: each node narrows the address space by at least [`MIN_BITS`] bits.
    const DEPTH: u64 = (32 * Self::WORDS).div_ceil(MIN_BITS as u64);

    /// The key at an address of a chunk, and the two words after it.
    fn of<const LEN: usize>(chunk: &[u32; LEN], address: u64) -> (Self, [u64; 2]);

    /// Like [`Key::of`], for either kind of chunk.
    #[inline(always)]
    fn read(chunk: Chunk<'_>, address: u64) -> (Self, [u64; 2]) {
        match chunk {
            Chunk::Near(chunk) => Self::of(chunk, address),
            Chunk::Far(chunk) => Self::of(chunk, address),
        }
    }

    /// Whether this address is greater than or equal to the other.
    fn reaches(self, other: Self) -> bool;

    /// The distance from the other address, which must not be greater than this one, in units of 2^shift; at most
    /// `last`.
    fn distance(self, other: Self, shift: u64, last: u64) -> u64;
}

/// An IPv4 address.
#[derive(Clone, Copy)]
struct Narrow(u64);

impl Key for Narrow {
    const WORDS: u64 = 1;

    #[inline(always)]
    fn of<const LEN: usize>(chunk: &[u32; LEN], address: u64) -> (Self, [u64; 2]) {
        let [first, a, b] = words(chunk, address);
        (Self(first), [a, b])
    }

    #[inline(always)]
    fn reaches(self, other: Self) -> bool {
        self.0 >= other.0
    }

    #[inline(always)]
    fn distance(self, other: Self, shift: u64, last: u64) -> u64 {
        ((self.0 - other.0) >> (shift & 63)).min(last)
    }
}

/// An IPv6 address in two halves.
#[derive(Clone, Copy)]
struct Wide {
    high: u64,
    low: u64,
}

impl Key for Wide {
    const WORDS: u64 = 4;

    #[inline(always)]
    fn of<const LEN: usize>(chunk: &[u32; LEN], address: u64) -> (Self, [u64; 2]) {
        let [i, j, k, l, a, b] = words(chunk, address);
        (Self { high: i << 32 | j, low: k << 32 | l }, [a, b])
    }

    #[inline(always)]
    fn reaches(self, other: Self) -> bool {
        self.high > other.high || self.high == other.high && self.low >= other.low
    }

    #[inline(always)]
    fn distance(self, other: Self, shift: u64, last: u64) -> u64 {
        let low = self.low.wrapping_sub(other.low);
        let high = self.high.wrapping_sub(other.high).wrapping_sub(u64::from(self.low < other.low));
        let (within, beyond) = if shift & 64 != 0 {
            (high >> (shift & 63), 0)
        } else {
            // Two shifts, since a shift by 64 would overflow.
            (low >> (shift & 63) | high << 1 << (63 - (shift & 63)), high >> (shift & 63))
        };
        if beyond != 0 { last } else { within.min(last) }
    }
}

/// The rule for an IPv4 address in host byte order; `None` if the words are inconsistent.
#[inline(always)]
pub fn of_v4<C: Chunks>(chunks: &C, address: u32, is_ntp_port: bool) -> Option<Rule> {
    find(chunks, root(false, is_ntp_port), Narrow(u64::from(address)))
}

/// The rule for an IPv6 address, given as its upper and lower 64 bits in host byte order; `None` if the words are
/// inconsistent.
#[inline(always)]
pub fn of_v6<C: Chunks>(chunks: &C, [high, low]: [u64; 2], is_ntp_port: bool) -> Option<Rule> {
    find(chunks, root(true, is_ntp_port), Wide { high, low })
}

#[inline(always)]
fn find<K: Key, C: Chunks>(chunks: &C, root: u32, key: K) -> Option<Rule> {
    let near = chunks.near()?;
    let mut bucket = Chunk::Near(near).words(u64::from(root) * BUCKET);
    let mut nodes = 0;
    let (run, ranges) = loop {
        let [flags, address] = bucket;
        if flags & u64::from(WAY) == 0 {
            return Some(rule(bucket));
        }
        match flags & RANGES {
            0 if nodes < K::DEPTH && nodes < C::DEPTH => nodes += 1,
            0 => return None,
            ranges => break (address, ranges),
        }
        let (first, [shape, mut address]) = K::read(Chunk::of(chunks, near, address)?, address);
        if key.reaches(first) {
            address += BUCKET * key.distance(first, shape & 0xff, (1 << (shape >> 8 & 31)) - 1);
        }
        bucket = Chunk::of(chunks, near, address)?.words(address);
    };
    Some(Chunk::of(chunks, near, run)?.rule(run, ranges, key))
}

#[inline(always)]
const fn rule([flags, index]: [u64; 2]) -> Rule {
    Rule { flags: flags as u32, index: index as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_whole_numbers() {
        let wide = |number: u128| Wide { high: (number >> 64) as u64, low: number as u64 };
        let numbers =
            [0, 1, 2, 1 << 63, (1 << 64) - 1, 1 << 64, (1 << 64) + 1, 3 << 100, u128::MAX - 1, u128::MAX];
        for a in numbers {
            for b in numbers {
                assert_eq!(wide(a).reaches(wide(b)), a >= b);
                for shift in [0, 1, 63, 64, 65, 127] {
                    let expected = (a.saturating_sub(b) >> shift).min(63) as u64;
                    if a >= b {
                        assert_eq!(wide(a).distance(wide(b), shift, 63), expected, "{a} {b} {shift}");
                    }
                }
            }
        }
        for (a, b, shift, expected) in [(u32::MAX.into(), 0, 0, 7), (9, 5, 2, 1), (u32::MAX.into(), 0, 31, 1)]
        {
            assert_eq!(Narrow(a).distance(Narrow(b), shift, 7), expected);
        }
    }
}
