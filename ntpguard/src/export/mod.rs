//! Counters to people and programs.

mod json;
mod text;
mod writer;

use crate::{
    bpf::Attached,
    cli::Format,
    compile::{Image, ImageRule},
    conf::ConfFile,
    stats::Snapshot,
};
use ntpguard_common::{
    Reason,
    abi::{CAUSES, Counter},
};
use std::time::Duration;
use writer::Writer;

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
    writer: Writer,
}

impl<'a> Exporter<'a> {
    /// `conf` and `image` put lines of ntp.conf to the hits.
    pub fn new(format: Format, conf: &'a ConfFile, image: &'a Image) -> Self {
        Self { format, conf, image, writer: Writer::start() }
    }

    /// An interface is guarded from now on.
    pub fn attached(&mut self, interface: &str, attached: &Attached) {
        let line = match self.format {
            Format::Text => text::attached(interface, attached),
            Format::Json => json::attached(interface, attached),
        };
        self.writer.write(line);
    }

    /// One interval is over.
    pub fn tick(&mut self, tick: &Tick<'_>) {
        let line = match self.format {
            Format::Text => text::tick(tick),
            Format::Json => json::counters("counters", tick, self.conf, self.image),
        };
        self.writer.write(line);
    }

    /// All is over.
    pub fn totals(&mut self, tick: &Tick<'_>) {
        let lines = match self.format {
            Format::Text => text::totals(tick, self.conf, self.image),
            Format::Json => json::counters("totals", tick, self.conf, self.image),
        };
        self.writer.write(lines);
    }

    /// Writes what is still to be written, unless nobody reads it.
    pub fn end(self) {
        self.writer.end();
    }
}

/// The hits of one rule under one of its flags, as [`ntpguard_common::abi::hit`] orders them.
fn hits<'a>(
    image: &'a Image,
    snapshot: &'a Snapshot,
) -> impl Iterator<Item = (&'a ImageRule, Reason, Counter)> {
    let causes = image.rules.iter().flat_map(|rule| CAUSES.map(|cause| (rule, cause)));
    let all = causes.zip(&snapshot.hits).map(|((rule, cause), hits)| (rule, cause, *hits));
    all.filter(|(_, _, hits)| hits.packets > 0)
}

/// The reasons that have counted something.
fn counted(snapshot: &Snapshot) -> impl Iterator<Item = (Reason, Counter)> + '_ {
    Reason::ALL.iter().map(|&reason| (reason, snapshot.of(reason))).filter(|(_, counter)| counter.packets > 0)
}
