//! The ring buffer of sampled drops, and the words that say which drops are sampled ([`ntpguard_common::sample`]).
//!
//! Contract: a ring buffer has one reader at a time; [`crate::observe::feed`] makes sure of that.

use super::{MapFolder, Maps, table::Table};
use crate::{bpf::snapshot::Snapshot, compile::Counters};
use anyhow::{Context as _, Result};
use aya::maps::{Map, MapData, RingBuf};
use ntpguard_common::{
    Reason, Verdict,
    abi::SLOTS,
    sample::{Sample, Sampling},
    shared::Shared,
    verdict::hit,
};

/// The maximum number of records read in one call: a ring buffer full of the smallest records, so that a constant
/// producer can't trap the reader.
const MOST: usize = 1 << 15;

/// The reader of the ring buffer.
pub struct Events {
    ring: RingBuf<MapData>,
    sampling: Table<Shared>,
    maps: Maps,
}

impl Events {
    /// Opens the pinned maps.
    ///
    /// # Errors
    /// A map doesn't exist, or may not be opened.
    pub fn open(place: MapFolder) -> Result<Self> {
        let open = |name: &str| {
            let path = place.path(name);
            MapData::from_pin(&path).with_context(|| format!("can't open {}", path.display()))
        };
        let ring = RingBuf::try_from(Map::from_map_data(open("EVENTS")?)?)?;
        let sampling = open("SAMPLING")?;
        let sampling = Table::writable(&sampling, 0..Table::<Shared>::len(&sampling)?)?;
        Ok(Self { ring, sampling, maps: Maps::open(place)? })
    }

    /// The map that says which drops are sampled.
    pub fn sampling(&self) -> Sampling<'_> {
        Sampling(self.sampling.values())
    }

    /// The exact counts from which the samples are taken.
    ///
    /// # Errors
    /// As [`Maps::counters`].
    pub fn counters(&self) -> Result<Snapshot> {
        self.maps.counters(false)
    }

    /// Reads what has come since the last call: each sample, with the bytes of its frame that were captured.
    pub fn take(&mut self, mut each: impl FnMut(Sample, &[u8])) {
        for _ in 0..MOST {
            let Some(record) = self.ring.next() else { return };
            if let Some((sample, frame)) = Sample::read(&record) {
                each(sample, frame);
            }
        }
    }

    /// The rule for which a drop is counted, by its position in its policy; `None` if it is counted for none.
    /// `counters` are that policy's.
    pub fn rule(&self, sample: &Sample, reason: Reason, counters: &Counters) -> Option<usize> {
        let hit = hit(Verdict { rule: sample.rule, ..Verdict::of(reason) })?;
        let slot = sample.generation % SLOTS;
        let (rule, _) = counters.owner(hit.checked_sub(slot * self.maps.room())?)?;
        Some(rule)
    }
}
