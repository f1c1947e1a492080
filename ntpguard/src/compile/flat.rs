//! From ranges to the words that the kernel looks a rule up in ([`ntpguard_common::ranges`]).
//!
//! Two passes: the first cuts each list into nodes and runs, the second gives them addresses. The ranges themselves lie in
//! their order, one after the other, so that runs side by side share the range in which one ends and the next begins.

use super::ranges::{Address, Ranges};
use anyhow::{Result, ensure};
use ntpguard_common::{
    abi::Rule,
    ranges::{ADDRESS_SHIFT, CHUNKS, Chunks, FAR, MIN_BITS, NEAR, NODE, ROOTS, RUN},
};

/// Most bits that a node has: four million buckets, in 16 MiB.
const MAX_BITS: u32 = 22;

/// A node has so many bits that at least one bucket in so many isn't empty.
const SPARSE: usize = 4;

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
    /// Which range it begins with.
    first: u32,
    bits: u8,
    shift: u8,
    /// Its buckets, from one on.
    buckets: u32,
}

/// How a list is cut.
struct Shape<'a, A> {
    ranges: &'a [(A, Rule)],
    nodes: Vec<Node>,
    /// As the maps have them, but for the addresses: in place of these, which range or which node it is.
    buckets: Vec<u32>,
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
        let mut flat = Self { near: vec![0; NEAR], far: Vec::new(), in_near: ROOTS as usize, in_far: FAR };
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
        self.near[root] = self.list(any_port.all(), rule)?;
        // Without `ntpport` lines there is no difference.
        self.near[root + 1] =
            if any_port == ntp_port { self.near[root] } else { self.list(ntp_port.all(), rule)? };
        Ok(())
    }

    /// Puts a list into the words; returns what its root is.
    fn list<A: Address>(&mut self, ranges: &[(A, Rule)], rule: impl Fn(Rule) -> Rule) -> Result<u32> {
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
            nodes.push((head, self.take(1 << node.bits, false)? as u32));
        }
        let bucket = |bucket: u32| {
            let place = (bucket >> ADDRESS_SHIFT) as usize;
            let address = if bucket & NODE != 0 { nodes[place].0 } else { layout.address(place) as u32 };
            address << ADDRESS_SHIFT | bucket & ((1 << ADDRESS_SHIFT) - 1)
        };
        for (node, &(head, address)) in shape.nodes.iter().zip(&nodes) {
            let (first, _) = ranges[node.first as usize];
            let width = u32::from(node.bits) << 8 | u32::from(node.shift);
            self.write(head as usize, first.words().chain([width, address]))?;
            let buckets = &shape.buckets[node.buckets as usize..][..1 << node.bits];
            self.write(address as usize, buckets.iter().map(|of_node| bucket(*of_node)))?;
        }
        Ok(bucket(root))
    }

    /// Finds room for so many ranges.
    fn layout(&mut self, ranges: usize, width: usize) -> Result<Layout> {
        // A run begins nowhere where it might not fit.
        let fitting = |words: usize| (words / width).saturating_sub(RUN - 1);
        if self.in_near + ranges * width <= NEAR / 2 {
            let start = self.take(ranges * width, true)?;
            return Ok(Layout { start, in_first: ranges, in_each: 1, others: 0, width });
        }
        let rest = FAR - self.in_far % FAR;
        if fitting(rest) == 0 {
            self.in_far += rest;
        }
        let start = self.in_far;
        let (in_first, in_each) = (fitting(FAR - start % FAR), fitting(FAR));
        let others = (start / FAR + 1) * FAR;
        let beyond = ranges.saturating_sub(in_first);
        let end = match beyond {
            0 => start + ranges * width,
            _ => others + (beyond - 1) / in_each * FAR + ((beyond - 1) % in_each + RUN) * width,
        };
        self.take_far(end - start, false)?;
        Ok(Layout { start, in_first, in_each, others, width })
    }

    /// Takes so many words, in one chunk if they have to be together.
    fn take(&mut self, words: usize, together: bool) -> Result<usize> {
        if self.in_near + words <= NEAR {
            self.in_near += words;
            return Ok(self.in_near - words);
        }
        self.take_far(words, together)
    }

    fn take_far(&mut self, words: usize, together: bool) -> Result<usize> {
        if together && self.in_far % FAR + words > FAR {
            self.in_far = self.in_far.next_multiple_of(FAR);
        }
        self.in_far += words;
        ensure!(
            self.in_far <= CHUNKS as usize * FAR,
            "more rules than a table can hold ({} MiB): leave some away, or join networks side by side",
            (CHUNKS as usize * FAR * size_of::<u32>()) >> 20
        );
        self.far.resize_with(self.in_far.div_ceil(FAR) - 1, || vec![0; FAR]);
        Ok(self.in_far - words)
    }

    fn write(&mut self, address: usize, words: impl Iterator<Item = u32>) -> Result<()> {
        for (address, word) in (address..).zip(words) {
            let chunk = match address / FAR {
                0 => Some(&mut self.near),
                number => self.far.get_mut(number - 1),
            };
            let place = chunk.and_then(|chunk| chunk.get_mut(address % FAR));
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
    fn cut(&mut self, from: usize, to: usize) -> u32 {
        if to - from < RUN {
            return run(from - 1, to - from + 1);
        }
        let first: u128 = self.ranges[from].0.into();
        let distance = |(address, _): &(A, Rule)| (*address).into() - first;
        let inner = &self.ranges[from..to];
        let (bits, shift) = stretch(inner.iter().map(distance));
        let (number, buckets) = (self.nodes.len(), self.buckets.len());
        let (of_first, of_buckets) = (from as u32, buckets as u32);
        self.nodes.push(Node { first: of_first, bits: bits as u8, shift: shift as u8, buckets: of_buckets });
        // For now, what was before the first one.
        self.buckets.resize(buckets + (1 << bits), run(from - 1, 1));
        let mut at = from;
        let mut done = 0;
        while at < to {
            let bucket = (distance(&self.ranges[at]) >> shift) as usize;
            let here =
                self.ranges[at..to].iter().take_while(|range| (distance(range) >> shift) as usize == bucket);
            let end = at + here.count();
            self.buckets[buckets + done..buckets + bucket].fill(run(at - 1, 1));
            self.buckets[buckets + bucket] = self.cut(at, end);
            (at, done) = (end, bucket + 1);
        }
        self.buckets[buckets + done..buckets + (1 << bits)].fill(run(to - 1, 1));
        (number as u32) << ADDRESS_SHIFT | NODE
    }
}

/// A bucket that is so many ranges, from one on. More ranges than fit there find no room in the chunks.
fn run(first: usize, ranges: usize) -> u32 {
    (first as u32) << ADDRESS_SHIFT | (ranges as u32) << 1
}

/// How many bits a node has and how wide its buckets are, by the distances of its ranges from the first, ascending.
fn stretch(distances: impl Iterator<Item = u128>) -> (u32, u32) {
    // How often two side by side part at a bit: in buckets as wide, or narrower, they are apart.
    let mut parting = [0_usize; u128::BITS as usize];
    let (mut last, mut count) = (0, 0);
    for distance in distances {
        if let Some(bit) = (distance ^ last).checked_ilog2() {
            parting[bit as usize] += 1;
        }
        (last, count) = (distance, count + 1_usize);
    }
    let width = u128::BITS - last.leading_zeros();
    let most = count.ilog2().saturating_sub(1).clamp(MIN_BITS, MAX_BITS);
    let shift = |bits: u32| width.saturating_sub(bits);
    let is_dense = |bits: &u32| {
        let taken = 1 + parting[shift(*bits) as usize..].iter().sum::<usize>();
        taken * SPARSE >= 1 << bits
    };
    let bits = (MIN_BITS..=most).rev().find(is_dense).unwrap_or(MIN_BITS);
    (bits, shift(bits))
}

impl Layout {
    /// Where a run that begins with a range lies.
    fn address(&self, range: usize) -> usize {
        match range.checked_sub(self.in_first) {
            None => self.start + range * self.width,
            Some(beyond) => self.others + beyond / self.in_each * FAR + beyond % self.in_each * self.width,
        }
    }

    /// Where a range lies: also at the end of the chunk before, for the runs that begin there.
    fn addresses(&self, range: usize) -> impl Iterator<Item = usize> + use<> {
        let beyond =
            range.checked_sub(self.in_first).map(|beyond| (beyond / self.in_each, beyond % self.in_each));
        let before = beyond.filter(|(_, place)| *place < RUN - 1).map(|(chunk, place)| match chunk {
            0 => self.start + (self.in_first + place) * self.width,
            _ => self.others + (chunk - 1) * FAR + (self.in_each + place) * self.width,
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
