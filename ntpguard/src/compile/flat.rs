//! From ranges to the words in which the kernel looks up a rule ([`ntpguard_common::ranges`]).
//!
//! Two passes: the first cuts each list into nodes and runs, the second assigns addresses. The ranges are stored in
//! order and contiguously, so that neighbouring runs share the range in which one ends and the next begins.

use super::ranges::{Address, Ranges};
use anyhow::{Result, ensure};
use ntpguard_common::{
    abi::Rule,
    ranges::{BUCKET, CHUNKS, Chunks, FAR, FAR_WORDS, MIN_BITS, NEAR, NEAR_WORDS, ROOTS, RUN, WAY},
};

/// A node of more than [`SMALL_BITS`] bits must have at least one non-empty bucket in this many.
const SPARSE: usize = 4;

/// Bits of a node of 32 KiB, up to which empty buckets don't matter.
const SMALL_BITS: u32 = 12;

/// With more ranges than this, a node has few bits, so that it stays in the caches, and the dense parts of a list get
/// nodes of their own: a lookup then waits for memory there, and not on the way.
const MANY: usize = 1 << 16;
const BITS_OF_MANY: u32 = 8;

/// The chunks of a policy, as they are written into the maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flat {
    near: Vec<u32>,
    far: Vec<Vec<u32>>,
    /// Words in use in the near chunk.
    in_near: usize,
    /// Words in use in all chunks, the near one counted as a whole far chunk.
    in_far: usize,
}

/// A node before addresses are assigned.
struct Node {
    /// The index of its first range.
    first: u32,
    bits: u8,
    shift: u8,
    /// The index of its first bucket.
    buckets: u32,
}

/// What a bucket leads to before addresses are assigned: the index of a node, or of a run's first range; and in the low
/// part the number of ranges in the run, 0 for a node. It is one word, since there are millions of them.
#[derive(Clone, Copy)]
struct Bucket(u32);

/// The factor by which the index is multiplied to make room for the number of ranges.
const ROOM: u32 = (RUN as u32 + 1).next_power_of_two();

/// The nodes and buckets into which a list is cut.
struct Shape<'a, A> {
    ranges: &'a [(A, Rule)],
    nodes: Vec<Node>,
    buckets: Vec<Bucket>,
}

/// Where the ranges of a list are stored: the first of them at the end of a chunk that is in use, the others in whole
/// chunks.
struct Layout {
    start: usize,
    /// How many runs may begin in the first chunk.
    in_first: usize,
    /// How many runs may begin in each of the other chunks, which start at `others`.
    in_each: usize,
    others: usize,
    /// Words of a range.
    width: usize,
}

impl Flat {
    /// Writes the lists of both families, each for any source port and for port 123; `rule` gives what the maps hold
    /// for a rule.
    ///
    /// # Errors
    /// They need more words than the chunks have.
    pub fn new(
        v4: &[Ranges<u32>; 2],
        v6: &[Ranges<u128>; 2],
        rule: impl Fn(Rule) -> Rule + Copy,
    ) -> Result<Self> {
        let mut flat = Self {
            near: vec![0; NEAR],
            far: Vec::new(),
            in_near: ROOTS as usize * BUCKET as usize,
            in_far: FAR_WORDS,
        };
        flat.family(0, v4, rule)?;
        flat.family(2, v6, rule)?;
        Ok(flat)
    }

    /// The far chunks.
    pub fn far_chunks(&self) -> &[Vec<u32>] {
        &self.far
    }

    /// The near chunk.
    pub fn near_chunk(&self) -> &[u32] {
        &self.near
    }

    fn family<A: Address>(
        &mut self,
        root: usize,
        [any_port, ntp_port]: &[Ranges<A>; 2],
        rule: impl Fn(Rule) -> Rule + Copy,
    ) -> Result<()> {
        let of_any = self.list(any_port.all(), rule)?;
        // Without `ntpport` lines both lists are the same.
        let of_ntp = if any_port == ntp_port { of_any } else { self.list(ntp_port.all(), rule)? };
        self.write(root * BUCKET as usize, of_any.into_iter().chain(of_ntp))
    }

    /// Writes a list into the chunks; returns its root bucket.
    fn list<A: Address>(&mut self, ranges: &[(A, Rule)], rule: impl Fn(Rule) -> Rule) -> Result<[u32; 2]> {
        let layout = self.layout(ranges.len(), A::ZERO.words().count() + 2)?;
        for (place, &(first, of_range)) in ranges.iter().enumerate() {
            let Rule { flags, index } = rule(of_range);
            for address in layout.addresses(place) {
                self.write(address, first.words().chain([flags, index]))?;
            }
        }
        let mut shape = Shape { ranges, nodes: Vec::new(), buckets: Vec::new() };
        let root = shape.cut(1, ranges.len());
        let mut nodes = Vec::with_capacity(shape.nodes.len());
        for node in &shape.nodes {
            let head = self.take(A::ZERO.words().count() + 2, true)? as u32;
            nodes.push((head, self.take_buckets(1 << node.bits)? as u32));
        }
        let bucket = |Bucket(bucket)| {
            let place = (bucket / ROOM) as usize;
            match bucket % ROOM {
                0 => [WAY, nodes[place].0],
                1 => {
                    let Rule { flags, index } = rule(ranges[place].1);
                    [flags, index]
                }
                ranges => [WAY | ranges, layout.address(place) as u32],
            }
        };
        for (node, &(head, address)) in shape.nodes.iter().zip(&nodes) {
            let start = ranges[node.first as usize].0.floor(node.shift.into());
            let width = u32::from(node.bits) << 8 | u32::from(node.shift);
            self.write(head as usize, start.words().chain([width, address]))?;
            let buckets = &shape.buckets[node.buckets as usize..][..1 << node.bits];
            self.write(address as usize, buckets.iter().flat_map(|of_node| bucket(*of_node)))?;
        }
        Ok(bucket(root))
    }

    /// Reserves space for this many ranges, of `width` words each.
    fn layout(&mut self, ranges: usize, width: usize) -> Result<Layout> {
        // A run must not begin where it might not fit.
        let fitting = |words: usize| (words / width).saturating_sub(RUN - 1);
        if self.in_near + ranges * width <= NEAR_WORDS / 2 {
            let start = self.take(ranges * width, true)?;
            return Ok(Layout { start, in_first: ranges, in_each: 1, others: 0, width });
        }
        let rest = FAR_WORDS - self.in_far % FAR_WORDS;
        if fitting(rest) == 0 {
            self.in_far += rest;
        }
        let start = self.in_far;
        let (in_first, in_each) = (fitting(FAR_WORDS - start % FAR_WORDS), fitting(FAR_WORDS));
        let others = (start / FAR_WORDS + 1) * FAR_WORDS;
        let beyond = ranges.saturating_sub(in_first);
        let end = match beyond {
            0 => start + ranges * width,
            _ => others + (beyond - 1) / in_each * FAR_WORDS + ((beyond - 1) % in_each + RUN) * width,
        };
        self.take_far(end - start, false)?;
        Ok(Layout { start, in_first, in_each, others, width })
    }

    /// Reserves space for this many buckets.
    fn take_buckets(&mut self, count: usize) -> Result<usize> {
        // A bucket must not span two chunks.
        self.in_near = self.in_near.next_multiple_of(BUCKET as usize);
        self.in_far = self.in_far.next_multiple_of(BUCKET as usize);
        self.take(count * BUCKET as usize, false)
    }

    /// Reserves this many words, in a single chunk if `together`.
    fn take(&mut self, words: usize, together: bool) -> Result<usize> {
        if self.in_near + words <= NEAR_WORDS {
            self.in_near += words;
            return Ok(self.in_near - words);
        }
        self.take_far(words, together)
    }

    fn take_far(&mut self, words: usize, together: bool) -> Result<usize> {
        if together && self.in_far % FAR_WORDS + words > FAR_WORDS {
            self.in_far = self.in_far.next_multiple_of(FAR_WORDS);
        }
        self.in_far += words;
        ensure!(
            self.in_far <= CHUNKS as usize * FAR_WORDS,
            "more rules than a table can hold ({} MiB): leave some away, or join networks side by side",
            ((CHUNKS as usize - 1) * FAR_WORDS * size_of::<u32>()) >> 20
        );
        self.far.resize_with(self.in_far.div_ceil(FAR_WORDS) - 1, || vec![0; FAR]);
        Ok(self.in_far - words)
    }

    fn write(&mut self, address: usize, words: impl Iterator<Item = u32>) -> Result<()> {
        for (address, word) in (address..).zip(words) {
            let chunk = match address / FAR_WORDS {
                0 => Some(&mut self.near),
                number => self.far.get_mut(number - 1),
            };
            let place = chunk.and_then(|chunk| chunk.get_mut(address % FAR_WORDS));
            ensure!(place.is_some(), "a rule's place lies outside of the tables; please report this");
            if let Some(place) = place {
                *place = word;
            }
        }
        Ok(())
    }
}

impl<A: Address> Shape<'_, A> {
    /// Cuts the stretch in which the ranges `from..to` begin, and into which the range before them extends; returns the
    /// bucket that leads to it.
    fn cut(&mut self, from: usize, to: usize) -> Bucket {
        if to - from < RUN {
            return run(from - 1, to - from + 1);
        }
        let inner = &self.ranges[from..to];
        let (bits, shift) = stretch(inner.iter().map(|(address, _)| (*address).into()));
        let (number, buckets) = (self.nodes.len(), self.buckets.len());
        let (of_first, of_buckets) = (from as u32, buckets as u32);
        self.nodes.push(Node { first: of_first, bits: bits as u8, shift: shift as u8, buckets: of_buckets });
        let start = self.ranges[from].0.floor(shift).into();
        let distance = |(address, _): &(A, Rule)| (*address).into() - start;
        let bucket_of = |range: &(A, Rule)| (distance(range) >> shift) as usize;
        // The default for buckets before the first range: the range before it.
        self.buckets.resize(buckets + (1 << bits), run(from - 1, 1));
        let mut at = from;
        let mut done = 0;
        while at < to {
            let bucket = bucket_of(&self.ranges[at]);
            let end = at + self.ranges[at..to].iter().take_while(|range| bucket_of(range) == bucket).count();
            self.buckets[buckets + done..buckets + bucket].fill(run(at - 1, 1));
            // The first bucket also stands for addresses before the node, so it isn't filled by a single range.
            let is_filled =
                bucket > 0 && end - at == 1 && distance(&self.ranges[at]) == (bucket as u128) << shift;
            self.buckets[buckets + bucket] = if is_filled { run(at, 1) } else { self.cut(at, end) };
            (at, done) = (end, bucket + 1);
        }
        self.buckets[buckets + done..buckets + (1 << bits)].fill(run(to - 1, 1));
        Bucket(number as u32 * ROOM)
    }
}

/// A bucket for a run of ranges. An index too large for it can't occur: the ranges wouldn't fit into the chunks.
fn run(first: usize, ranges: usize) -> Bucket {
    Bucket(first as u32 * ROOM + ranges as u32)
}

/// A node's bits and the shift that gives the width of its buckets, from the first addresses of its ranges, ascending.
/// The node begins at a multiple of that width, so that networks fill whole buckets.
fn stretch(mut addresses: impl Iterator<Item = u128>) -> (u32, u32) {
    let first = addresses.next().unwrap_or_default();
    // By bit: how many pairs of neighbours differ in it first. With buckets of that width or narrower, the two are
    // apart.
    let mut parting = [0_usize; u128::BITS as usize];
    let (mut last, mut count) = (first, 1_usize);
    for address in addresses {
        if let Some(bit) = (address ^ last).checked_ilog2() {
            parting[bit as usize] += 1;
        }
        (last, count) = (address, count + 1);
    }
    let width = u128::BITS - (last - first).leading_zeros();
    let shift = |bits: u32| {
        let shift = width.saturating_sub(bits);
        // Since the node may begin before the first range, it may need one bucket more than it has.
        let end = (last - (first >> shift << shift)) >> shift;
        if end >> bits == 0 { shift } else { shift + 1 }
    };
    let is_dense = |bits: &u32| {
        let taken = 1 + parting[shift(*bits) as usize..].iter().sum::<usize>();
        taken * SPARSE >= 1 << bits
    };
    let most = if count > MANY { BITS_OF_MANY } else { MIN_BITS.max(count.ilog2() + 2) };
    let dense = (SMALL_BITS + 1..=most).rev().find(is_dense);
    let bits = dense.unwrap_or(most.min(SMALL_BITS));
    (bits, shift(bits))
}

impl Layout {
    /// The address at which a run that begins with this range is stored.
    fn address(&self, range: usize) -> usize {
        match range.checked_sub(self.in_first) {
            None => self.start + range * self.width,
            Some(beyond) => {
                self.others + beyond / self.in_each * FAR_WORDS + beyond % self.in_each * self.width
            }
        }
    }

    /// The addresses at which a range is stored: also at the end of the chunk before, for the runs that begin there.
    fn addresses(&self, range: usize) -> impl Iterator<Item = usize> + use<> {
        let beyond =
            range.checked_sub(self.in_first).map(|beyond| (beyond / self.in_each, beyond % self.in_each));
        let before = beyond.filter(|(_, place)| *place < RUN - 1).map(|(chunk, place)| match chunk {
            0 => self.start + (self.in_first + place) * self.width,
            _ => self.others + (chunk - 1) * FAR_WORDS + (self.in_each + place) * self.width,
        });
        [Some(self.address(range)), before].into_iter().flatten()
    }
}

impl Chunks for Flat {
    fn near(&self) -> Option<&[u32; NEAR]> {
        self.near.first_chunk()
    }

    fn far(&self, number: u32) -> Option<&[u32; FAR]> {
        self.far.get(number as usize - 1)?.first_chunk()
    }
}

#[cfg(test)]
mod tests;
