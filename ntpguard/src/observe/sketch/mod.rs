//! Which keys sent most, in bounded memory: the weighted space-saving sketch (Metwally, Agrawal, El Abbadi 2005, "Efficient
//! Computation of Frequent and Top-k Elements in Data Streams"), which can be merged (Agarwal et al. 2012, "Mergeable
//! Summaries").
//!
//! Contract, for any input in any order, for a sketch of `capacity` places that got `total` packets:
//!
//! - A key with more than `total / capacity` packets is in it.
//! - A key in it had at least `seen.packets`, and at most `seen.packets + missed`; `missed` is at most `total / capacity`.
//! - A key that isn't in it had at most [`Sketch::floor`], which is at most `total / capacity`, and 0 until more than
//!   `capacity` keys came.
//!
//! For a merged sketch, `capacity` is the smallest capacity of the merged ones and the result. All this is about the packets
//! that the samples stand for; [`Estimate`] has the error of those.
//!
//! Adding a packet takes two look-ups in a hash table with a secret key and two steps in an ordered tree: O(log `capacity`).

use crate::observe::estimate::Estimate;
use serde::{Deserialize, Serialize};
use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap, hash_map::Entry},
    hash::Hash,
};

/// The maximum capacity, more than anybody needs; a file that claims more is rejected.
pub const MOST: usize = 1 << 20;

/// A space-saving sketch.
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
    /// The index in `heavy` of each key.
    places: HashMap<K, u32>,
    /// The most packets that each may have had, and its index: the smallest is evicted first.
    order: BTreeSet<(u64, u32)>,
}

/// What a key must implement.
pub trait Key: Clone + Eq + Hash + Ord {}
impl<K: Clone + Eq + Hash + Ord> Key for K {}

/// A key in the sketch.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Heavy<K> {
    /// The key, such as an address.
    pub key: K,
    /// What was seen of it: at least that much came.
    pub seen: Estimate,
    /// How many more packets may have come before it had a place.
    pub missed: u64,
}

impl<K> Heavy<K> {
    /// The maximum number of packets that came.
    pub fn most(&self) -> u64 {
        self.seen.packets.saturating_add(self.missed)
    }
}

impl<K: Key> Sketch<K> {
    /// An empty sketch with this number of places (clamped to 1 to [`MOST`]). Places take memory only when they are used.
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

    /// Adds what was seen of a key.
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
            // The evicted key may come again, and then has had this many packets before.
            self.floor = self.floor.max(most);
            let heavy = &mut self.heavy[place as usize];
            self.places.remove(&heavy.key);
            *heavy = Heavy { key: key.clone(), seen, missed: self.floor };
            place
        };
        self.order.insert((self.heavy[place as usize].most(), place));
        self.places.insert(key, place);
    }

    /// Merges several sketches into one with this capacity.
    #[must_use]
    pub fn merged<'a>(sketches: impl IntoIterator<Item = &'a Self>, capacity: usize) -> Self
    where
        K: 'a,
    {
        let mut merged = Self::new(capacity);
        // What each key had, and the sum of the floors of the sketches that have it. In the others, it may have had up to
        // their floors.
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

    /// Merges another sketch into this one.
    pub fn merge(&mut self, other: &Self) {
        *self = Self::merged([&*self, other], self.capacity);
    }

    /// Reduces the capacity.
    pub fn shrink(&mut self, capacity: usize) {
        if capacity < self.capacity {
            *self = Self::merged([&*self], capacity);
        }
    }

    /// The `n` keys of which most was seen, most first. They aren't ordered by the most that they may have had: otherwise a
    /// flood from random sources, each seen with one packet, would come before sources that certainly sent much.
    pub fn top(&self, n: usize) -> Vec<Heavy<K>> {
        let mut all: Vec<_> = self.heavy.iter().collect();
        all.sort_unstable_by_key(|heavy| (Reverse((heavy.seen.packets, heavy.missed)), &heavy.key));
        all.into_iter().take(n).cloned().collect()
    }

    /// What is known of a key; if `None`, it had at most [`Sketch::floor`] packets.
    pub fn get(&self, key: &K) -> Option<&Heavy<K>> {
        self.places.get(key).map(|place| &self.heavy[*place as usize])
    }

    /// The sum of all that was added.
    pub const fn total(&self) -> Estimate {
        self.total
    }

    /// The maximum number of packets of a key that isn't in the sketch.
    pub const fn floor(&self) -> u64 {
        self.floor
    }

    /// The number of keys in the sketch.
    pub const fn len(&self) -> usize {
        self.heavy.len()
    }

    /// Whether the sketch has no keys.
    pub const fn is_empty(&self) -> bool {
        self.heavy.is_empty()
    }

    /// Replaces all keys by these, which are distinct and at most `capacity`.
    fn put(&mut self, mut heavy: Vec<Heavy<K>>) {
        // Usually these are a few kept of many, whose memory would otherwise stay allocated.
        heavy.shrink_to_fit();
        let numbered = || heavy.iter().zip(0_u32..);
        self.places = numbered().map(|(heavy, place)| (heavy.key.clone(), place)).collect();
        self.order = numbered().map(|(heavy, place)| (heavy.most(), place)).collect();
        self.heavy = heavy;
    }
}

/// The serialised form of a sketch.
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
