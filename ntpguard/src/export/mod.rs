//! Counters to people and programs.

mod json;
pub mod report;
mod text;

use crate::{
    bpf::Attached,
    cli::Format,
    compile::{Image, ImageRule},
    ruling::Ruling,
    state::Seats,
    stats::Snapshot,
    tracked::Tracked,
    writer::{Writer, warn},
};
use ntpguard_common::{
    Reason,
    abi::{CAUSES, Counter},
};
use std::time::Duration;

/// What happened in a span of time.
pub struct Tick<'a> {
    /// The span.
    pub elapsed: Duration,
    /// What was counted in it.
    pub since: Snapshot,
    /// What was counted since the filter was attached first.
    pub total: &'a Snapshot,
    /// Which interfaces are counted where.
    pub seats: &'a Seats,
    /// Who is remembered and limited, if the policy limits anyone.
    pub tracked: Option<Tracked>,
}

impl Tick<'_> {
    /// Packets a second in this span.
    fn rate(&self, packets: u64) -> f64 {
        packets as f64 / self.elapsed.as_secs_f64()
    }

    /// What was counted at each interface, by its name: in all, and in this span.
    fn interfaces(&self) -> impl Iterator<Item = (String, Snapshot, Snapshot)> {
        let name = |seat| self.seats.get(seat).map_or_else(|| "another".to_owned(), |names| names.join("+"));
        self.total.seats.keys().map(move |seat| (name(seat), self.total.at(*seat), self.since.at(*seat)))
    }
}

/// Writes to standard output, in one format.
pub struct Exporter {
    format: Format,
    writer: Writer,
}

impl Exporter {
    /// To standard output.
    pub fn new(format: Format) -> Self {
        Self { format, writer: Writer::to(std::io::stdout()) }
    }

    /// Whether [`Exporter::tick`] shows the hits of rules, which are many to read.
    pub fn shows_hits(&self) -> bool {
        self.format == Format::Json
    }

    /// An interface is guarded from now on.
    pub fn attached(&self, interface: &str, attached: &Attached) {
        self.writer.insist(match self.format {
            Format::Text => text::attached(interface, attached),
            Format::Json => json::attached(interface, attached),
        });
    }

    /// One interval is over. Lost if the reader is too far behind: the next one says the same and more.
    pub fn tick(&self, tick: &Tick<'_>, ruling: &Ruling) {
        let line = match self.format {
            Format::Text => text::tick(tick),
            Format::Json => json::counters("counters", tick, ruling),
        };
        self.writer.offer(line);
    }

    /// All is over; `stays`: not for the filter.
    pub fn totals(self, tick: &Tick<'_>, ruling: &Ruling, stays: bool) {
        self.writer.insist(match self.format {
            Format::Text => text::totals(tick, ruling, stays),
            Format::Json => json::counters("totals", tick, ruling),
        });
        if !self.finish() {
            warn(format_args!("ntpguard: nobody reads standard output, and the totals are lost"));
        }
    }

    /// Waits until everything is written; whether it was.
    pub fn finish(self) -> bool {
        self.writer.flush()
    }
}

/// The hits of one rule under one of its flags.
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
