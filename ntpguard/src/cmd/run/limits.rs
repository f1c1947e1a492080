//! The limits of `ntpguard run`: what it prints of them at the start, at each interval and when the table is full.

use crate::{
    bpf::{Guard, Table, snapshot::Snapshot},
    compile::Image,
    conf::MEMORY,
    host::log::{tell, warn},
    observe::limited::{Reader, Tracked},
    policy::{
        limiter::{Bounds, Clock},
        limiter_options::Limiting,
    },
};
use anyhow::Result;
use ntpguard_common::{
    Reason,
    abi::PolicyWord,
    limit::{table::Set, top::Heavy},
};
use std::time::{Duration, Instant};

/// Minimum time between two reads of the table, which may be large.
const PAUSE: Duration = Duration::from_secs(1);
/// Minimum time between two warnings.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// Reads the tables of sources and of heavy sources.
pub(super) struct Watch {
    sources: Table<Set>,
    heavy: Table<Heavy>,
    reader: Reader,
    clock: Clock,
    last: Option<(Instant, Tracked)>,
    warned: Option<Instant>,
    untracked: u64,
}

impl Watch {
    /// Begins, and prints the limits; `None` if nothing is limited.
    ///
    /// # Errors
    /// The kernel refuses access to its tables.
    pub(super) fn start(guard: &Guard, image: &Image, limiting: &Limiting) -> Result<Option<Self>> {
        if image.flags & (PolicyWord::LIMITER | PolicyWord::CEILING) == 0 {
            return Ok(None);
        }
        let (sources, heavy) = (guard.maps.sources()?, guard.maps.heavy()?);
        tell(format_args!("{}", described(sources.values(), image, limiting)));
        let (reader, clock) = (Reader::default(), Clock::of_kernel()?);
        // Packets that were counted before aren't warned about again.
        let untracked = guard.maps.counters(false)?.of(Reason::Untracked).packets;
        Ok(Some(Self { sources, heavy, reader, clock, last: None, warned: None, untracked }))
    }

    /// The state of the limits for this interval's output.
    ///
    /// # Errors
    /// The clock can't be read.
    pub(super) fn look(&mut self, snapshot: &Snapshot) -> Result<Tracked> {
        self.warn(snapshot.of(Reason::Untracked).packets);
        if let Some((when, tracked)) = &self.last
            && when.elapsed() < PAUSE
        {
            return Ok(tracked.clone());
        }
        let now = self.clock.now()?;
        let tracked =
            self.reader.read(self.sources.values(), self.heavy.values(), now, MEMORY * self.clock.hz);
        self.last = Some((Instant::now(), tracked.clone()));
        Ok(tracked)
    }

    /// The state of the limits for the final totals.
    ///
    /// # Errors
    /// The clock can't be read.
    pub(super) fn end(&self) -> Result<Tracked> {
        let now = self.clock.now()?;
        Ok(Reader::default().read(self.sources.values(), self.heavy.values(), now, MEMORY * self.clock.hz))
    }

    fn warn(&mut self, untracked: u64) {
        let patient = self.warned.is_some_and(|warned| warned.elapsed() < WARNING_INTERVAL);
        if untracked > self.untracked && !patient {
            let more = untracked - self.untracked;
            warn(format_args!(
                "warning: the table of sources is full, and {more} packets passed unlimited; --sources makes it larger"
            ));
            (self.warned, self.untracked) = (Some(Instant::now()), untracked);
        }
    }
}

/// The limits in one line.
fn described(sets: &[Set], image: &Image, limiting: &Limiting) -> String {
    let Bounds { max_rate, kisses, .. } = image.bounds;
    let megabytes = size_of_val(sets) as f64 / f64::from(1 << 20);
    let mut parts = vec![format!("room for {} sources in {megabytes:.1} MB", limiting.sources)];
    if image.flags & PolicyWord::LIMITER != 0 {
        parts.push(match kisses {
            Some(rate) => format!("kisses by ntpguard, at most {rate}/s"),
            None => "kisses by the daemon".to_owned(),
        });
    }
    if let Some(rate) = max_rate {
        parts.push(format!("at most {rate} time requests/s"));
    }
    parts.join("; ")
}
