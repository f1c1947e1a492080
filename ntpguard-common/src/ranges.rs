//! Rules by ranges of addresses: how they lie in the maps, and how the one of a source is found.
//!
//! A policy is two or four lists of ranges, for a family and for source port 123 or any other. Each lies under a tree whose
//! nodes cut a stretch of the address space into equal buckets. A bucket is a rule, if one range fills it, or leads to a run
//! of a few ranges, or to another node where many meet, which begins at the first, or a bit before, and is as wide as they
//! need: so a lookup takes a few nodes for as many rules as there may be, and two cache lines in each, the last of which is
//! often the rule's.
//!
//! All of it is 32-bit words with addresses: the first [`NEAR_WORDS`] in one array, enough for a policy of ordinary length;
//! further ones in chunks of [`FAR_WORDS`], as many as it takes. Values as large as these are looked up in place, without
//! a call.
//!
//! | words  | meaning                                                                                          |
//! |--------|--------------------------------------------------------------------------------------------------|
//! | roots  | at 0, for each [`root`]: a bucket                                                                |
//! | bucket | [`Rule`]'s flags and index; or [`WAY`] \| ranges, the address of a run; or [`WAY`], that of a node  |
//! | node   | first address, bits << 8 \| shift, the address of its 2^bits buckets                            |
//! | range  | first address, then [`Rule`]'s flags and index; it ends before the next one                      |
//!
//! Neither a bucket, a node's three fields nor a run crosses from one chunk into the next. The first range of a run begins
//! at or before whatever leads there.

use crate::abi::Rule;
use core::array;

/// Words in the near chunk: 256 KiB.
pub const NEAR_WORDS: usize = 1 << 16;

/// Words in a far chunk: 2 MiB. The largest value that a map may have in Linux 6.1 is 4 MiB (KMALLOC_MAX_SIZE).
pub const FAR_WORDS: usize = 1 << FAR_SHIFT;

const FAR_SHIFT: u32 = 19;

/// Words behind those of a chunk, where nothing lies: so one mask on an address is enough for the verifier to let several
/// words be read from it on.
const MARGIN: usize = 8;

/// The length of the near chunk.
pub const NEAR: usize = NEAR_WORDS + MARGIN;

/// The length of a far chunk.
pub const FAR: usize = FAR_WORDS + MARGIN;

/// Chunks in a slot, the near one at 0: 254 MiB.
pub const CHUNKS: u32 = 1 << 7;

/// In a bucket's first word: it is none of [`Rule`]'s flags, but leads on.
pub const WAY: u32 = 1 << 15;

const _: () = assert!(Rule::NO_RULE < WAY && WAY < 1 << Rule::MASKS_SHIFT);

/// Ranges in a run, at most: two or three cache lines.
pub const RUN: usize = 13;

/// Where a bucket has their number.
const RANGES: u64 = 15;

const _: () = assert!(RUN <= RANGES as usize);

/// The least bits that a node has.
pub const MIN_BITS: u32 = 6;

/// Where the root for a family and a port lies.
#[inline(always)]
pub const fn root(is_v6: bool, is_ntp_port: bool) -> u32 {
    (is_v6 as u32) << 1 | is_ntp_port as u32
}

/// As many roots there are.
pub const ROOTS: u32 = 4;

/// Words of a bucket.
pub const BUCKET: u64 = 2;

/// The chunks of a policy: maps in the kernel, vectors on the host.
pub trait Chunks {
    /// FilterView no further than so many nodes.
    const DEPTH: u64 = u64::MAX;

    /// The near one.
    fn near(&self) -> Option<&[u32; NEAR]>;
    /// A far one, by its number from 1 on.
    fn far(&self, number: u32) -> Option<&[u32; FAR]>;
}

/// Words side by side. Everything here is in 64 bits: the BPF target has no shorter registers, and clears the upper half of
/// one with two instructions.
#[derive(Clone, Copy)]
enum Chunk<'a> {
    /// Addresses below [`NEAR_WORDS`].
    Near(&'a [u32; NEAR]),
    /// [`FAR_WORDS`] others.
    Far(&'a [u32; FAR]),
}

impl<'a> Chunk<'a> {
    /// The one that holds an address.
    #[inline(always)]
    fn of<C: Chunks>(chunks: &'a C, near: &'a [u32; NEAR], address: u64) -> Option<Self> {
        match address >> FAR_SHIFT & (CHUNKS as u64 - 1) {
            0 => Some(Self::Near(near)),
            number => chunks.far(number as u32).map(Self::Far),
        }
    }

    /// The words from an address on, which is in this chunk.
    #[inline(always)]
    fn words<const COUNT: usize>(self, address: u64) -> [u64; COUNT] {
        match self {
            Self::Near(chunk) => words(chunk, address),
            Self::Far(chunk) => words(chunk, address),
        }
    }

    /// The rule of an address among the ranges of a run in this chunk.
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

/// The rule of the last range of a run that begins at the key or before it. The first one does.
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

/// An address as it is looked up and as it lies in the words, the highest first.
trait Key: Copy {
    /// How many words.
    const WORDS: u64;
    /// Nodes on the longest way: each one narrows the stretch by [`MIN_BITS`] bits at least.
    const DEPTH: u64 = (32 * Self::WORDS).div_ceil(MIN_BITS as u64);

    /// The one at an address of a chunk, and the two words after it.
    fn of<const LEN: usize>(chunk: &[u32; LEN], address: u64) -> (Self, [u64; 2]);

    /// The same.
    #[inline(always)]
    fn read(chunk: Chunk<'_>, address: u64) -> (Self, [u64; 2]) {
        match chunk {
            Chunk::Near(chunk) => Self::of(chunk, address),
            Chunk::Far(chunk) => Self::of(chunk, address),
        }
    }

    /// Whether it is at or behind another.
    fn reaches(self, other: Self) -> bool;

    /// How far it is behind another, which it reaches, in steps of 2^shift; not more than `last`.
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
            // In two steps, since a shift by 64 is none.
            (low >> (shift & 63) | high << 1 << (63 - (shift & 63)), high >> (shift & 63))
        };
        if beyond != 0 { last } else { within.min(last) }
    }
}

/// The rule of an IPv4 address, in host byte order; `None` where the words make no sense.
#[inline(always)]
pub fn of_v4<C: Chunks>(chunks: &C, address: u32, is_ntp_port: bool) -> Option<Rule> {
    find(chunks, root(false, is_ntp_port), Narrow(u64::from(address)))
}

/// The rule of an IPv6 address, given as the network's half and the host's, alike.
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
