//! From ranges to the words that the kernel looks a rule up in ([`ntpguard_common::ranges`]).
//!
//! Two passes: the first cuts each list into nodes and runs, the second gives them addresses. The ranges themselves lie in
//! their order, one after the other, so that runs side by side share the range in which one ends and the next begins.

use super::ranges::{Address, Ranges};
use anyhow::{Result, ensure};
use ntpguard_common::{
    abi::Rule,
    ranges::{BUCKET, CHUNKS, Chunks, FAR, FAR_WORDS, MIN_BITS, NEAR, NEAR_WORDS, ROOTS, RUN, WAY},
};

/// A node with more than [`SMALL_BITS`] has so few that at least one bucket in so many isn't empty.
const SPARSE: usize = 4;

/// Bits of a node of 32 KiB, whose empty buckets don't count.
const SMALL_BITS: u32 = 12;

/// With more ranges than so many a node has few bits, so that it stays in the caches, and the dense parts of a list get
/// nodes of their own: an address then waits for memory where these are, and not on the way.
const MANY: usize = 1 << 16;
const BITS_OF_MANY: u32 = 8;

/// The chunks of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flat {
    near: Vec<u32>,
    far: Vec<Vec<u32>>,
    /// Words that are taken in the near chunk.
    in_near: usize,
    /// And in all others.
    in_far: usize,
}

/// A node, before there are addresses.
struct Node {
    /// Which range is its first.
    first: u32,
    bits: u8,
    shift: u8,
    /// Its buckets, from one on.
    buckets: u32,
}

/// What a bucket leads to, before there are addresses: a node or the first range of a run, by its number; and below, how
/// many ranges, 0 for a node. In one word, since there are millions.
#[derive(Clone, Copy)]
struct Bucket(u32);

/// What a number is multiplied by, so that there is room for the ranges.
const ROOM: u32 = (RUN as u32 + 1).next_power_of_two();

/// How a list is cut.
struct Shape<'a, A> {
    ranges: &'a [(A, Rule)],
    nodes: Vec<Node>,
    buckets: Vec<Bucket>,
}

/// Where the ranges of a list lie: some in the chunk where the first of them is, then whole chunks of them.
struct Layout {
    start: usize,
    /// So many runs may begin in the first chunk.
    in_first: usize,
    /// And in each of the others, which begin here.
    in_each: usize,
    others: usize,
    /// Words of a range.
    width: usize,
}

impl Flat {
    /// Of the lists of both families, for any source port and for 123; `rule` says what stands in the maps for a rule.
    ///
    /// # Errors
    /// They take more room than there may be.
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

    /// The chunks beside the near one.
    pub fn far_chunks(&self) -> &[Vec<u32>] {
        &self.far
    }

    /// The near one.
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
        // Without `ntpport` lines there is no difference.
        let of_ntp = if any_port == ntp_port { of_any } else { self.list(ntp_port.all(), rule)? };
        self.write(root * BUCKET as usize, of_any.into_iter().chain(of_ntp))
    }

    /// Puts a list into the words; returns what its root is.
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

    /// Finds room for so many ranges.
    fn layout(&mut self, ranges: usize, width: usize) -> Result<Layout> {
        // A run begins nowhere where it might not fit.
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

    /// Takes so many buckets.
    fn take_buckets(&mut self, count: usize) -> Result<usize> {
        // None lies in two chunks.
        self.in_near = self.in_near.next_multiple_of(BUCKET as usize);
        self.in_far = self.in_far.next_multiple_of(BUCKET as usize);
        self.take(count * BUCKET as usize, false)
    }

    /// Takes so many words, in one chunk if they have to be together.
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
    /// Cuts the stretch in which these ranges begin, and which the range before the first leads into; returns what the
    /// bucket is that leads there.
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
        // For now, what was before the first one.
        self.buckets.resize(buckets + (1 << bits), run(from - 1, 1));
        let mut at = from;
        let mut done = 0;
        while at < to {
            let bucket = bucket_of(&self.ranges[at]);
            let end = at + self.ranges[at..to].iter().take_while(|range| bucket_of(range) == bucket).count();
            self.buckets[buckets + done..buckets + bucket].fill(run(at - 1, 1));
            // The first bucket is also that of what lies before the node.
            let is_filled =
                bucket > 0 && end - at == 1 && distance(&self.ranges[at]) == (bucket as u128) << shift;
            self.buckets[buckets + bucket] = if is_filled { run(at, 1) } else { self.cut(at, end) };
            (at, done) = (end, bucket + 1);
        }
        self.buckets[buckets + done..buckets + (1 << bits)].fill(run(to - 1, 1));
        Bucket(number as u32 * ROOM)
    }
}

/// A bucket that is so many ranges, from one on. More ranges than have a number find no room in the chunks.
fn run(first: usize, ranges: usize) -> Bucket {
    Bucket(first as u32 * ROOM + ranges as u32)
}

/// How many bits a node has and how wide its buckets are, by the first addresses of its ranges, ascending. The node begins
/// at a multiple of that width, so that networks fill buckets.
fn stretch(mut addresses: impl Iterator<Item = u128>) -> (u32, u32) {
    let first = addresses.next().unwrap_or_default();
    // How often two side by side part at a bit: in buckets as wide, or narrower, they are apart.
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
        // By beginning earlier it may need a bucket more than it has.
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
    /// Where a run that begins with a range lies.
    fn address(&self, range: usize) -> usize {
        match range.checked_sub(self.in_first) {
            None => self.start + range * self.width,
            Some(beyond) => {
                self.others + beyond / self.in_each * FAR_WORDS + beyond % self.in_each * self.width
            }
        }
    }

    /// Where a range lies: also at the end of the chunk before, for the runs that begin there.
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
