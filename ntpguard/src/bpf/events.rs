//! The ring of drops that were drawn, and the words that say which are ([`ntpguard_common::sample`]).
//!
//! Contract: a ring has one reader at a time; who that is, [`crate::observe::feed`] sees to.

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

/// As many are taken at once: a full ring of the smallest, so that nobody who goes on filling it keeps its reader.
const MOST: usize = 1 << 15;

/// The reader's end.
pub struct Events {
    ring: RingBuf<MapData>,
    sampling: Table<Shared>,
    maps: Maps,
}

impl Events {
    /// Opens what is pinned.
    ///
    /// # Errors
    /// It isn't there, or may not be opened.
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

    /// What is drawn.
    pub fn sampling(&self) -> Sampling<'_> {
        Sampling(self.sampling.values())
    }

    /// The exact counts that the samples are of.
    ///
    /// # Errors
    /// As [`Maps::counters`].
    pub fn counters(&self) -> Result<Snapshot> {
        self.maps.counters(false)
    }

    /// What has come since the last time, with bytes of the frame where they were asked for.
    pub fn take(&mut self, mut each: impl FnMut(Sample, &[u8])) {
        for _ in 0..MOST {
            let Some(record) = self.ring.next() else { return };
            if let Some((sample, frame)) = Sample::read(&record) {
                each(sample, frame);
            }
        }
    }

    /// Which rule of its policy a drop is counted for, if it is for any; `counters` are that policy's.
    pub fn rule(&self, sample: &Sample, reason: Reason, counters: &Counters) -> Option<usize> {
        let hit = hit(Verdict { rule: sample.rule, ..Verdict::of(reason) })?;
        let slot = sample.generation % SLOTS;
        let (rule, _) = counters.owner(hit.checked_sub(slot * self.maps.room())?)?;
        Some(rule)
    }
}
