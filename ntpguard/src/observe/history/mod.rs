//! The sources named in queries (modes 6 and 7) that were dropped during the last day.
//!
//! In a flood of such queries, the sources are forged: they are the victims that the answers would have hit.
//!
//! Contract: the last day is kept in at most [`BUCKETS`] buckets of five minutes. The present bucket has [`PLACES`] places
//! (one for each source and kind of query); earlier ones keep the [`KEPT`] places with most packets. So memory stays below
//! 20 MB, and the file below 25 MB, even if every bucket of a day is full; five minutes without drops take no room. What the
//! places don't hold is included in the totals, and has a known bound ([`Sketch`]).
//!
//! Events are sorted into buckets by their wall-clock time. A clock that is set back makes another bucket, and what lies in
//! the future isn't shown until that time is reached. The bucket that was begun first is the first to go, so that a clock
//! that was wrong for a moment doesn't evict all others.

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

/// The length of a bucket, in seconds.
pub const SPAN: u64 = 300;
/// How long a bucket is kept, in seconds.
pub const DAY: u64 = 86_400;
/// The maximum number of buckets: those of a day, and the one that has begun.
pub const BUCKETS: usize = (DAY / SPAN) as usize + 1;
/// The number of places of the present bucket.
pub const PLACES: usize = 1024;
/// The number of places of an earlier bucket: enough for a /24 in which every address is a victim.
pub const KEPT: usize = 256;
/// The maximum number of sources of a summary.
pub const SOURCES: usize = 8192;
/// The version of the file; a file of another version isn't read.
const VERSION: u32 = 1;

/// The queries that were dropped in a day.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct History {
    version: u32,
    /// When it began, in seconds since 1970.
    began: u64,
    /// In the order in which they were begun.
    buckets: VecDeque<Bucket>,
}

/// The queries that were dropped in [`SPAN`] seconds.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Bucket {
    /// When it begins, in seconds since 1970: a multiple of [`SPAN`].
    start: u64,
    named: Sketch<(IpAddr, Query)>,
    others: Others,
}

/// Queries whose source isn't a victim, or isn't known.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Others {
    /// Responses. Their sources are servers that got forged queries in this host's name, so this host is the victim.
    pub responses: Estimate,
    /// Queries whose source is hidden or impossible: this host's own address, or a multicast address.
    pub nobodys: Estimate,
    /// How many of all queries passed, because it was a trial.
    pub passed: Estimate,
}

/// The queries that were dropped in a span of time.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Summary {
    /// From when on the queries are known, in seconds since 1970.
    pub from: u64,
    /// Until when they are known.
    pub until: u64,
    /// All queries whose source may be a victim, including those of sources that aren't listed.
    pub total: Estimate,
    /// The sources, those with most packets first; at most [`SOURCES`].
    pub sources: Vec<Source>,
    /// The maximum number of packets of any source that isn't listed.
    pub floor: u64,
    /// What the total doesn't include.
    pub others: Others,
}

/// An address that was named as the source of queries.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Source {
    /// The address.
    pub address: IpAddr,
    /// What was seen of this source.
    pub seen: Estimate,
    /// How many more packets there may have been.
    pub missed: u64,
    /// The packets by kind of query, the most frequent first.
    pub queries: Vec<(Query, u64)>,
}

impl History {
    /// An empty history that begins now (seconds since 1970).
    pub fn new(now: u64) -> Self {
        Self { version: VERSION, began: now, buckets: VecDeque::new() }
    }

    /// Adds an event if it is a query that was dropped, or would have been in a trial.
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

    /// What was dropped in a span up to now (seconds since 1970), rounded to the beginning of its first bucket.
    pub fn since(&self, span: Duration, now: u64) -> Summary {
        let start = now.saturating_sub(span.as_secs().min(DAY));
        let from = start - start % SPAN;
        let buckets = || self.buckets.iter().filter(|bucket| (from..=now).contains(&bucket.start));
        let named = Sketch::merged(buckets().map(|bucket| &bucket.named), SOURCES);
        let mut sources: BTreeMap<IpAddr, Source> = BTreeMap::new();
        // Those with most packets come first, so each source's queries are in that order, too.
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

    /// Loads the history; `None` if there is none, or this version can't read it.
    ///
    /// # Errors
    /// It exists, and can't be read.
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

    /// Saves what isn't older than a day, readable for these readers.
    ///
    /// # Errors
    /// The folder can't be created or written.
    pub fn save(&mut self, folder: &Path, now: u64, readers: &Readers) -> Result<()> {
        self.forget(now);
        atomic_file::write(&file(folder), self, readers)
    }

    /// The bucket that begins at this time.
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

/// The path of the history in the state folder.
pub fn file(folder: &Path) -> PathBuf {
    folder.join("history.json")
}

#[cfg(test)]
pub(crate) mod tests;
