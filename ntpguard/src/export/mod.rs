//! Counters to people and programs.

mod json;
mod text;

use crate::{bpf::Attached, cli::Format, compile::Image, conf::ConfFile, stats::Snapshot};
use ntpguard_common::{Reason, abi::Counter};
use std::{
    io::{self, Write as _},
    time::Duration,
};

/// What happened in a span of time.
pub struct Tick<'a> {
    /// The span.
    pub elapsed: Duration,
    /// What was counted in it.
    pub since: Snapshot,
    /// What was counted since the start.
    pub total: &'a Snapshot,
}

impl Tick<'_> {
    /// Packets a second in this span.
    fn rate(&self, packets: u64) -> f64 {
        packets as f64 / self.elapsed.as_secs_f64()
    }
}

/// Writes to standard output, in one format.
pub struct Exporter<'a> {
    format: Format,
    conf: &'a ConfFile,
    image: &'a Image,
    /// Nobody reads any more. The filter goes on: a closed pipe is no reason to leave the daemon unprotected.
    closed: bool,
}

impl<'a> Exporter<'a> {
    /// `conf` and `image` put lines of ntp.conf to the hits.
    pub fn new(format: Format, conf: &'a ConfFile, image: &'a Image) -> Self {
        Self { format, conf, image, closed: false }
    }

    /// An interface is guarded from now on.
    pub fn attached(&mut self, interface: &str, attached: Attached) {
        let line = match self.format {
            Format::Text => text::attached(interface, attached),
            Format::Json => json::attached(interface, attached),
        };
        self.write(&line);
    }

    /// One interval is over.
    pub fn tick(&mut self, tick: &Tick<'_>) {
        let line = match self.format {
            Format::Text => text::tick(tick),
            Format::Json => json::counters("counters", tick, self.conf, self.image),
        };
        self.write(&line);
    }

    /// All is over.
    pub fn totals(&mut self, tick: &Tick<'_>) {
        let lines = match self.format {
            Format::Text => text::totals(tick, self.conf, self.image),
            Format::Json => json::counters("totals", tick, self.conf, self.image),
        };
        self.write(&lines);
    }

    fn write(&mut self, text: &str) {
        if self.closed {
            return;
        }
        let mut out = io::stdout().lock();
        if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush()) {
            self.closed = true;
            // Standard error may be gone as well.
            let _ = writeln!(io::stderr(), "ntpguard: can't write counters ({error}); still guarding");
        }
    }
}

/// The reasons that have counted something.
fn counted(snapshot: &Snapshot) -> impl Iterator<Item = (Reason, Counter)> + '_ {
    Reason::ALL.iter().map(|&reason| (reason, snapshot.of(reason))).filter(|(_, counter)| counter.packets > 0)
}
