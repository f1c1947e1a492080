//! One look from outside: which queries and time requests the guest answers now.

use super::{
    course::Course,
    outside::{Count, Request},
};
use anyhow::{Result, bail};
use std::{
    thread,
    time::{Duration, Instant},
};

/// Who asks.
const CLIENT: &str = "203.0.113.9";
/// Who asks over IPv6.
const CLIENT6: &str = "2001:db8:9::9";

/// How long something may take to come about on a busy machine that emulates another.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// The same for the answers to one look: they are waited for no longer than they take to come.
pub(super) const ANSWERS: Duration = Duration::from_secs(10);

/// The answers to one look from outside.
pub(super) struct Probe {
    /// Of modes 6 and 7.
    pub(super) queries: Count,
    /// Of mode 3.
    pub(super) time: Count,
}

impl Course<'_> {
    /// Waits until the guest answers time requests again.
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

    /// Queries of both modes and families, then time requests, and what came back.
    pub(super) fn probe(&mut self) -> Result<Probe> {
        const EACH: usize = 16;
        let mut queries = self.outside.send(Request::Monlist, CLIENT, EACH)?;
        queries.extend(self.outside.send(Request::Readvar, CLIENT, EACH)?);
        queries.extend(self.outside.send(Request::Monlist6, CLIENT6, EACH)?);
        let mut time = self.outside.send(Request::Time, CLIENT, EACH)?;
        time.extend(self.outside.send(Request::Time6, CLIENT6, EACH)?);
        self.outside.wait(&time, ANSWERS);
        // Of several queues, a slower one.
        thread::sleep(Duration::from_millis(200));
        Ok(Probe { queries: self.outside.count(&queries), time: self.outside.count(&time) })
    }

    /// As when nothing filters: all is answered.
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

    /// Long frames, and what came back.
    pub(super) fn long(&mut self) -> Result<Count> {
        let ports = self.outside.send(Request::Long, CLIENT, 8)?;
        self.outside.wait(&ports, ANSWERS);
        Ok(self.outside.count(&ports))
    }

    /// Looks until nothing leaks and time is served, or patience is at its end; the last look.
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

    /// Whether so few answers are the filter's fault.
    pub(super) fn loses(&self, time: Count) -> bool {
        let without = self.baseline.time;
        let anyway = self.long && without.lossy() && (time.served > 0 || without.least == 0);
        time.served < time.sent && !anyway
    }
}
