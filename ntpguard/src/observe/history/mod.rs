//! Who was named as the source of queries (modes 6 and 7) that were dropped, over the last day.
//!
//! In a flood of such queries the sources are forged: they are those of the victims, whom the answers would have hit.
//!
//! Contract: what is not older than a day is kept by five minutes, in at most [`BUCKETS`] buckets. The one of the moment has
//! [`PLACES`] places (one for each source and kind of query), the others keep the [`KEPT`] with most packets, so
//! memory stays below 20 MB, and the file below 25 MB, if every five minutes of a day had as many sources as that; five minutes in
//! which nothing was dropped take nothing. What the places don't hold is in the totals, and how much that can be is known
//! ([`Sketch`]).
//!
//! Buckets go by the time of the events, which is the clock of the wall: one that is set back makes another bucket, and what lies in the
//! future isn't shown until it is past. The oldest bucket to go is the one that was begun first, so that a clock that was wrong for a moment
//! doesn't take all others away.

mod query;

pub use query::Query;

use crate::{
    host::{self, access::Readers, atomic_file},
    observe::{estimate::Estimate, event::Event, sketch::Sketch},
};
use anyhow::{Context as _, Result};
use ntpguard_common::{Action, Reason};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// The seconds of a bucket.
pub const SPAN: u64 = 300;
/// How long it is kept, in seconds.
pub const DAY: u64 = 86_400;
/// How many there are at most: a day's, and the one that has begun.
pub const BUCKETS: usize = (DAY / SPAN) as usize + 1;
/// Places of the bucket of the moment.
pub const PLACES: usize = 1024;
/// Places of those that are past: a /24 in which every address is a victim.
pub const KEPT: usize = 256;
/// Sources of a summary at most.
pub const SOURCES: usize = 8192;
/// What another version wrote isn't read.
const VERSION: u32 = 1;

/// What was dropped in a day.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct History {
    version: u32,
    /// When it began: seconds since 1970.
    began: u64,
    /// In the order in which they were begun.
    buckets: VecDeque<Bucket>,
}

/// What was dropped in [`SPAN`].
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Bucket {
    /// When it begins: a multiple of [`SPAN`].
    start: u64,
    named: Sketch<(IpAddr, Query)>,
    others: Others,
}

/// Queries whose source is nobody's victim, or isn't known.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Others {
    /// Responses: their sources are servers that somebody has sent queries to in this host's name, so it is a victim itself.
    pub responses: Estimate,
    /// The source is hidden, or can't be anybody's: this host's own, a multicast address.
    pub nobodys: Estimate,
    /// Of all, these were let through: a trial.
    pub passed: Estimate,
}

/// What was dropped in a span of time.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Summary {
    /// From when on it is known: seconds since 1970.
    pub from: u64,
    /// Until when.
    pub until: u64,
    /// All queries with a source that may be a victim's, also those of the sources that aren't listed.
    pub total: Estimate,
    /// The sources, most packets first; [`SOURCES`] at most.
    pub sources: Vec<Source>,
    /// How many packets a source that isn't listed had at most.
    pub floor: u64,
    /// What isn't in the total.
    pub others: Others,
}

/// An address that was named as the source of queries.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Source {
    /// The address.
    pub address: IpAddr,
    /// What was seen of it.
    pub seen: Estimate,
    /// How many more packets there may have been.
    pub missed: u64,
    /// The packets by what they asked for, most first.
    pub queries: Vec<(Query, u64)>,
}

impl History {
    /// An empty one, that begins now: seconds since 1970.
    pub fn new(now: u64) -> Self {
        Self { version: VERSION, began: now, buckets: VecDeque::new() }
    }

    /// Adds what was dropped, if it was a query.
    pub fn add(&mut self, event: &Event) {
        let Some(mode @ (6 | 7)) = event.mode else { return };
        if event.reason.action() != Action::Drop {
            return;
        }
        let seen = Estimate::from(event);
        let bucket = self.bucket(seen.first - seen.first % SPAN);
        if event.trial {
            bucket.others.passed += seen;
        }
        match event.source {
            _ if event.reason == Reason::Response => bucket.others.responses += seen,
            Some(source) if event.reason != Reason::ImpossibleSource => {
                let query = Query { trial: event.trial, ..Query::of(mode, event.request.as_deref()) };
                bucket.named.add((source.to_canonical(), query), seen);
            }
            _ => bucket.others.nobodys += seen,
        }
    }

    /// What was dropped since a time before now (seconds since 1970): from the beginning of its five minutes on.
    pub fn since(&self, span: Duration, now: u64) -> Summary {
        let start = now.saturating_sub(span.as_secs().min(DAY));
        let from = start - start % SPAN;
        let buckets = || self.buckets.iter().filter(|bucket| (from..=now).contains(&bucket.start));
        let named = Sketch::merged(buckets().map(|bucket| &bucket.named), SOURCES);
        let mut sources: BTreeMap<IpAddr, Source> = BTreeMap::new();
        // Most first, so queries are, too.
        for heavy in named.top(SOURCES) {
            let (address, query) = heavy.key;
            let new = Source { address, seen: Estimate::default(), missed: 0, queries: Vec::new() };
            let source = sources.entry(address).or_insert(new);
            source.seen += heavy.seen;
            source.missed = source.missed.saturating_add(heavy.missed);
            source.queries.push((query, heavy.seen.packets));
        }
        let mut sources: Vec<_> = sources.into_values().collect();
        sources.sort_by_key(|source| std::cmp::Reverse(source.seen.packets));
        let mut others = Others::default();
        buckets().for_each(|bucket| others += bucket.others);
        let known = self.began.clamp(from, now);
        let total = named.total();
        Summary { from: known, until: now, total, sources, floor: named.floor(), others }
    }

    /// Drops what is older than a day.
    pub fn forget(&mut self, now: u64) {
        self.buckets.retain(|bucket| bucket.start + SPAN + DAY > now);
    }

    /// Reads what was kept; `None` if there is nothing, or nothing that this version reads.
    ///
    /// # Errors
    /// It is there, and can't be read.
    pub fn load(folder: &Path) -> Result<Option<Self>> {
        let path = file(folder);
        let bytes = match host::file::read(&path, host::file::KEPT) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("can't read {}", path.display())),
        };
        let history = serde_json::from_slice::<Self>(&bytes).ok();
        Ok(history.filter(|history| {
            let starts = history.buckets.iter().all(|bucket| bucket.start < u64::MAX / 2);
            history.version == VERSION && history.buckets.len() <= BUCKETS && starts
        }))
    }

    /// Keeps what isn't older than a day, for these readers.
    ///
    /// # Errors
    /// The folder can't be made or written.
    pub fn save(&mut self, folder: &Path, now: u64, readers: &Readers) -> Result<()> {
        self.forget(now);
        atomic_file::write(&file(folder), self, readers)
    }

    /// The bucket that begins then.
    fn bucket(&mut self, start: u64) -> &mut Bucket {
        let found = self.buckets.iter().rposition(|bucket| bucket.start == start);
        let place = found.unwrap_or_else(|| {
            if let Some(last) = self.buckets.back_mut() {
                last.named.shrink(KEPT);
            }
            if self.buckets.len() == BUCKETS {
                self.buckets.pop_front();
            }
            let named = Sketch::new(PLACES);
            self.buckets.push_back(Bucket { start, named, others: Others::default() });
            self.buckets.len() - 1
        });
        &mut self.buckets[place]
    }
}

impl std::ops::AddAssign for Others {
    fn add_assign(&mut self, other: Self) {
        let Self { responses, nobodys, passed } = self;
        *responses += other.responses;
        *nobodys += other.nobodys;
        *passed += other.passed;
    }
}

/// Where it is, in the folder of the state.
pub fn file(folder: &Path) -> PathBuf {
    folder.join("history.json")
}

#[cfg(test)]
pub(crate) mod tests;
