//! A look from outside: which queries and time requests the guest answers now.

use super::{
    course::Course,
    outside::{Count, Request},
};
use anyhow::{Result, bail};
use std::{
    thread,
    time::{Duration, Instant},
};

/// The source of requests.
const CLIENT: &str = "203.0.113.9";
/// The source of requests over IPv6.
const CLIENT6: &str = "2001:db8:9::9";

/// Time limit for the guest to become reachable: a busy machine emulates it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// Time limit for the answers to one look; when all have arrived, the look ends earlier.
pub(super) const ANSWERS: Duration = Duration::from_secs(10);

/// The answers to one look from outside.
pub(super) struct Probe {
    /// Answers to modes 6 and 7.
    pub(super) queries: Count,
    /// Answers to mode 3.
    pub(super) time: Count,
}

impl Course<'_> {
    /// Waits until the guest answers time requests; returns how long that took.
    pub(super) fn reachable(&mut self) -> Result<Duration> {
        let start = Instant::now();
        while start.elapsed() < ANSWER_TIMEOUT {
            let ports = self.outside.send(Request::Time, CLIENT, 1)?;
            if self.outside.wait(&ports, Duration::from_millis(300)) {
                return Ok(start.elapsed());
            }
        }
        bail!("the guest answers no time request")
    }

    /// Sends queries of both modes and families and then time requests, and counts the answers.
    pub(super) fn probe(&mut self) -> Result<Probe> {
        const EACH: usize = 16;
        let mut queries = self.outside.send(Request::Monlist, CLIENT, EACH)?;
        queries.extend(self.outside.send(Request::Readvar, CLIENT, EACH)?);
        queries.extend(self.outside.send(Request::Monlist6, CLIENT6, EACH)?);
        let mut time = self.outside.send(Request::Time, CLIENT, EACH)?;
        time.extend(self.outside.send(Request::Time6, CLIENT6, EACH)?);
        self.outside.wait(&time, ANSWERS);
        // Waits for answers that come by a slower queue.
        thread::sleep(Duration::from_millis(200));
        Ok(Probe { queries: self.outside.count(&queries), time: self.outside.count(&time) })
    }

    /// Checks that everything is answered, as without a filter.
    pub(super) fn open(&mut self) -> Result<()> {
        let Probe { queries, time } = self.probe()?;
        let lossy = self.long && self.baseline.time.lossy();
        let few = if lossy { queries.served == 0 } else { queries.served < queries.sent };
        if few || self.loses(time) {
            bail!(
                "{} of {} queries and {} of {} time requests are answered",
                queries.served,
                queries.sent,
                time.served,
                time.sent
            );
        }
        Ok(())
    }

    /// Sends long frames, and counts the answers.
    pub(super) fn long(&mut self) -> Result<Count> {
        let ports = self.outside.send(Request::Long, CLIENT, 8)?;
        self.outside.wait(&ports, ANSWERS);
        Ok(self.outside.count(&ports))
    }

    /// Repeats looks until nothing leaks and time is served, at most four times; returns the last one.
    pub(super) fn settle(&mut self) -> Result<Probe> {
        const LOOKS: u32 = 4;
        for _ in 1..LOOKS {
            let probe = self.probe()?;
            if probe.queries.served == 0 && !self.loses(probe.time) {
                return Ok(probe);
            }
        }
        self.probe()
    }

    /// Whether missing answers to time requests have to be attributed to the filter.
    pub(super) fn loses(&self, time: Count) -> bool {
        let without = self.baseline.time;
        let anyway = self.long && without.lossy() && (time.served > 0 || without.least == 0);
        time.served < time.sent && !anyway
    }
}
