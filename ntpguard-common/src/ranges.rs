//! Rules by ranges of addresses: how they lie in the maps, and how the one of a source is found.
//!
//! A policy is two or four lists of ranges, for a family and for source port 123 or any other. Each lies under a tree whose
//! nodes cut a stretch of the address space into equal buckets. A bucket is a run of a few ranges, or another node where
//! many meet, which begins at the first and is as wide as they need: so a lookup takes a node or two for as many rules as
//! there may be, and touches one cache line in a node and one or two in the run.
//!
//! All of it is 32-bit words with addresses: the first [`NEAR`] in one array, enough for a policy of ordinary length; further
//! ones in chunks of [`FAR`], as many as it takes. Values as large as these are looked up in place, without a call.
//!
//! | words    | meaning                                                                             |
//! |----------|-------------------------------------------------------------------------------------|
//! | roots    | at 0, for each [`root`]: what a bucket is                                           |
//! | bucket   | address << 6 \| 1: a node; address << 6 \| ranges << 1: a run                        |
//! | node     | first address, bits << 8 \| shift, the address of its 2^bits buckets       |
//! | range    | first address, then [`Rule`]'s flags and index; it ends before the next one |
//!
//! Neither a node's three fields nor a run crosses from one chunk into the next. The first range of a run begins at or before
//! whatever leads there.

use crate::abi::Rule;

/// Words in the near chunk: 64 KiB.
pub const NEAR: usize = 1 << 14;

/// Words in a far chunk: 4 MiB, the largest value that a map may have in Linux 6.1 (KMALLOC_MAX_SIZE).
pub const FAR: usize = 1 << FAR_SHIFT;

const FAR_SHIFT: u32 = 20;

/// Chunks in a slot, the near one at 0: 252 MiB.
pub const CHUNKS: u32 = 1 << (ADDRESS_BITS - FAR_SHIFT);

/// As many bits has an address.
const ADDRESS_BITS: u32 = 32 - ADDRESS_SHIFT;

/// Where the address lies in a bucket.
pub const ADDRESS_SHIFT: u32 = 6;

/// In a bucket: it is a node.
pub const NODE: u32 = 1;

/// Ranges in a run, at most: two or three cache lines, found in [`STEPS`].
pub const RUN: usize = 13;

/// Halvings until one of [`RUN`] is left.
const STEPS: u32 = 4;

const _: () = assert!(RUN < 1 << STEPS && (RUN as u32) << 1 < 1 << ADDRESS_SHIFT);

/// The least bits that a node has.
pub const MIN_BITS: u32 = 6;

/// Where the root for a family and a port lies.
#[inline(always)]
pub const fn root(is_v6: bool, is_ntp_port: bool) -> u32 {
    (is_v6 as u32) << 1 | is_ntp_port as u32
}

/// As many roots there are.
pub const ROOTS: u32 = 4;

/// The chunks of a policy: maps in the kernel, vectors on the host.
pub trait Chunks {
    /// The near one.
    fn near(&self) -> Option<&[u32; NEAR]>;
    /// A far one, by its number from 1 on.
    fn far(&self, number: u32) -> Option<&[u32; FAR]>;
}

/// Words side by side. Everything here is in 64 bits: the BPF target has no shorter registers, and clears the upper half of
/// one with two instructions.
#[derive(Clone, Copy)]
enum Chunk<'a> {
    /// Addresses below [`NEAR`].
    Near(&'a [u32; NEAR]),
    /// [`FAR`] others.
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

    /// The word at an address, which is in this chunk.
    #[inline(always)]
    const fn word(self, address: u64) -> u64 {
        match self {
            Self::Near(words) => words[address as usize % NEAR] as u64,
            Self::Far(words) => words[address as usize % FAR] as u64,
        }
    }
}

/// An address as it is looked up and as it lies in the words, the highest first.
trait Key: Copy {
    /// How many words.
    const WORDS: u64;
    /// Nodes on the longest way: each one narrows the stretch by [`MIN_BITS`] bits at least.
    const DEPTH: u64 = (32 * Self::WORDS).div_ceil(MIN_BITS as u64);

    /// Reads it.
    fn read(chunk: Chunk<'_>, address: u64) -> Self;

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
    fn read(chunk: Chunk<'_>, address: u64) -> Self {
        Self(chunk.word(address))
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
    fn read(chunk: Chunk<'_>, address: u64) -> Self {
        let half = |at| chunk.word(at) << 32 | chunk.word(at + 1);
        Self { high: half(address), low: half(address + 2) }
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
    let mut bucket = u64::from(near[root as usize % NEAR]);
    for _ in 0..K::DEPTH {
        if bucket & u64::from(NODE) == 0 {
            break;
        }
        let node = bucket >> ADDRESS_SHIFT;
        let chunk = Chunk::of(chunks, near, node)?;
        let first = K::read(chunk, node);
        let shape = chunk.word(node + K::WORDS);
        let mut address = chunk.word(node + K::WORDS + 1);
        if key.reaches(first) {
            address += key.distance(first, shape & 0xff, (1 << (shape >> 8 & 31)) - 1);
        }
        bucket = Chunk::of(chunks, near, address)?.word(address);
    }
    let (mut range, mut ranges) = (bucket >> ADDRESS_SHIFT, bucket >> 1 & 0x1f);
    let chunk = Chunk::of(chunks, near, range)?;
    for _ in 0..STEPS {
        if ranges < 2 {
            break;
        }
        let half = ranges >> 1;
        let middle = range + half * (K::WORDS + 2);
        if key.reaches(K::read(chunk, middle)) {
            range = middle;
        }
        ranges -= half;
    }
    Some(Rule { flags: chunk.word(range + K::WORDS) as u32, index: chunk.word(range + K::WORDS + 1) as u32 })
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
