//! Who sent most, in bounded memory: the weighted space-saving sketch (Metwally, Agrawal, El Abbadi 2005, "Efficient Computation
//! of Frequent and Top-k Elements in Data Streams"), which can be merged (Agarwal et al. 2012, "Mergeable Summaries").
//!
//! Contract, whatever comes in whichever order, for a sketch of `capacity` places and with `total` packets in it:
//!
//! - A key with more than `total / capacity` packets is in it.
//! - What a key in it had is at least `seen.packets`, and at most that and `missed`, which is no more than `total / capacity`.
//! - What a key that isn't in it had is no more than [`Sketch::floor`], which is no more than `total / capacity`; 0 until more than
//!   `capacity` keys came.
//!
//! Of sketches that are merged, `capacity` here is the smallest of theirs and the result's. All this is about the packets that the
//! samples stand for; how far those may be off is said by [`Estimate`].
//!
//! One more packet costs two look-ups in a hash table with a secret key and two steps in an ordered tree: O(log `capacity`).

use crate::observe::estimate::Estimate;
use serde::{Deserialize, Serialize};
use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap, hash_map::Entry},
    hash::Hash,
};

/// More places than anybody needs: what is read from a file isn't believed beyond.
pub const MOST: usize = 1 << 20;

/// The sketch.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(
    try_from = "Kept<K>",
    into = "Kept<K>",
    bound(serialize = "K: Key + Serialize", deserialize = "K: Key + Deserialize<'de>")
)]
pub struct Sketch<K> {
    capacity: usize,
    total: Estimate,
    floor: u64,
    heavy: Vec<Heavy<K>>,
    /// Where in `heavy` each is.
    places: HashMap<K, u32>,
    /// The most that each may have had, and its place: the smallest goes first.
    order: BTreeSet<(u64, u32)>,
}

/// What can be looked for.
pub trait Key: Clone + Eq + Hash + Ord {}
impl<K: Clone + Eq + Hash + Ord> Key for K {}

/// One of those that sent most.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Heavy<K> {
    /// Who.
    pub key: K,
    /// What was seen of it: at least that much came.
    pub seen: Estimate,
    /// How many more packets may have come, before it had a place.
    pub missed: u64,
}

impl<K> Heavy<K> {
    /// The most that came.
    pub fn most(&self) -> u64 {
        self.seen.packets.saturating_add(self.missed)
    }
}

impl<K: Key> Sketch<K> {
    /// An empty one, with so many places (at least 1, at most [`MOST`]). Places take memory when they are used.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.clamp(1, MOST),
            total: Estimate::default(),
            floor: 0,
            heavy: Vec::new(),
            places: HashMap::new(),
            order: BTreeSet::new(),
        }
    }

    /// Something was seen of a key.
    pub fn add(&mut self, key: K, seen: Estimate) {
        self.total += seen;
        if seen.samples == 0 {
            return;
        }
        if let Some(&place) = self.places.get(&key) {
            let heavy = &mut self.heavy[place as usize];
            self.order.remove(&(heavy.most(), place));
            heavy.seen += seen;
            self.order.insert((heavy.most(), place));
            return;
        }
        let place = if self.heavy.len() < self.capacity {
            self.heavy.push(Heavy { key: key.clone(), seen, missed: self.floor });
            (self.heavy.len() - 1) as u32
        } else {
            let (most, place) = self.order.pop_first().expect("it is full, and has a place at least");
            // It may come again, and have had so much before.
            self.floor = self.floor.max(most);
            let heavy = &mut self.heavy[place as usize];
            self.places.remove(&heavy.key);
            *heavy = Heavy { key: key.clone(), seen, missed: self.floor };
            place
        };
        self.order.insert((self.heavy[place as usize].most(), place));
        self.places.insert(key, place);
    }

    /// All of several sketches in one of so many places.
    #[must_use]
    pub fn merged<'a>(sketches: impl IntoIterator<Item = &'a Self>, capacity: usize) -> Self
    where
        K: 'a,
    {
        let mut merged = Self::new(capacity);
        // What a key had, and the floors of those sketches that it is in: below the others' it may have been.
        let mut all: HashMap<K, (Heavy<K>, u64)> = HashMap::new();
        for sketch in sketches {
            merged.total += sketch.total;
            merged.floor = merged.floor.saturating_add(sketch.floor);
            for one in &sketch.heavy {
                match all.entry(one.key.clone()) {
                    Entry::Vacant(new) => drop(new.insert((one.clone(), sketch.floor))),
                    Entry::Occupied(mut known) => {
                        let (heavy, floors) = known.get_mut();
                        heavy.seen += one.seen;
                        heavy.missed = heavy.missed.saturating_add(one.missed);
                        *floors = floors.saturating_add(sketch.floor);
                    }
                }
            }
        }
        let missed = |(mut heavy, floors): (Heavy<K>, u64)| {
            heavy.missed = heavy.missed.saturating_add(merged.floor.saturating_sub(floors));
            heavy
        };
        let mut all: Vec<_> = all.into_values().map(missed).collect();
        all.sort_unstable_by(|a, b| (b.most(), &a.key).cmp(&(a.most(), &b.key)));
        if let Some(first) = all.get(merged.capacity) {
            merged.floor = merged.floor.max(first.most());
        }
        all.truncate(merged.capacity);
        merged.put(all);
        merged
    }

    /// All of another one, too.
    pub fn merge(&mut self, other: &Self) {
        *self = Self::merged([&*self, other], self.capacity);
    }

    /// Fewer places.
    pub fn shrink(&mut self, capacity: usize) {
        if capacity < self.capacity {
            *self = Self::merged([&*self], capacity);
        }
    }

    /// The `n` of which most was seen, most first. So, and not by the most that they may have had, since otherwise a flood from random
    /// sources, of which one packet each was seen, would come before who sent for certain.
    pub fn top(&self, n: usize) -> Vec<Heavy<K>> {
        let mut all: Vec<_> = self.heavy.iter().collect();
        all.sort_unstable_by_key(|heavy| (Reverse((heavy.seen.packets, heavy.missed)), &heavy.key));
        all.into_iter().take(n).cloned().collect()
    }

    /// What is known of a key; `None`: it had no more than [`Sketch::floor`].
    pub fn get(&self, key: &K) -> Option<&Heavy<K>> {
        self.places.get(key).map(|place| &self.heavy[*place as usize])
    }

    /// All that was added, of whichever key.
    pub const fn total(&self) -> Estimate {
        self.total
    }

    /// The most packets that a key which isn't in it had.
    pub const fn floor(&self) -> u64 {
        self.floor
    }

    /// How many keys are in it.
    pub const fn len(&self) -> usize {
        self.heavy.len()
    }

    /// Whether none is.
    pub const fn is_empty(&self) -> bool {
        self.heavy.is_empty()
    }

    /// Gives all places to these, which are different and no more than there are places.
    fn put(&mut self, mut heavy: Vec<Heavy<K>>) {
        // Mostly they are the few that are kept of many, whose memory would stay taken.
        heavy.shrink_to_fit();
        let numbered = || heavy.iter().zip(0_u32..);
        self.places = numbered().map(|(heavy, place)| (heavy.key.clone(), place)).collect();
        self.order = numbered().map(|(heavy, place)| (heavy.most(), place)).collect();
        self.heavy = heavy;
    }
}

/// It as it is written down.
#[derive(Deserialize, Serialize)]
struct Kept<K> {
    capacity: usize,
    total: Estimate,
    floor: u64,
    heavy: Vec<Heavy<K>>,
}

impl<K> From<Sketch<K>> for Kept<K> {
    fn from(sketch: Sketch<K>) -> Self {
        let Sketch { capacity, total, floor, heavy, places: _, order: _ } = sketch;
        Self { capacity, total, floor, heavy }
    }
}

impl<K: Key> TryFrom<Kept<K>> for Sketch<K> {
    type Error = &'static str;

    fn try_from(kept: Kept<K>) -> Result<Self, Self::Error> {
        let Kept { capacity, total, floor, heavy } = kept;
        if !(1..=MOST).contains(&capacity) || heavy.len() > capacity {
            return Err("a sketch with more keys than places");
        }
        if heavy.iter().any(|heavy| heavy.most() < floor || heavy.seen.samples == 0) {
            return Err("a sketch with a key that can't be in it");
        }
        let count = heavy.len();
        let mut sketch = Self { total, floor, ..Self::new(capacity) };
        sketch.put(heavy);
        if sketch.places.len() == count { Ok(sketch) } else { Err("a sketch with a key that is in it twice") }
    }
}

#[cfg(test)]
mod tests;
