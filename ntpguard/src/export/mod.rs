//! Counters and events as output for people and programs.

pub mod check;
pub mod events;
mod format;
mod json;
pub mod report;
pub mod stats;
mod table;
mod text;
mod tick;

pub use format::Format;
pub use tick::Tick;

use crate::{
    bpf::Attached,
    host::{log::warn, terminal::folded, writer::Writer},
};
use std::io::{self, IsTerminal as _};

/// Writes to standard output in one format.
pub struct Exporter {
    format: Format,
    /// Whether a terminal reads it, so that long lines are folded. Programs that read text get one line per reading.
    folds: bool,
    writer: Writer,
}

impl Exporter {
    /// An exporter to standard output.
    pub fn new(format: Format) -> Self {
        Self { format, folds: io::stdout().is_terminal(), writer: Writer::to(format.stdout()) }
    }

    /// Whether [`Exporter::tick`] shows the hits of rules, which are expensive to read.
    pub fn shows_hits(&self) -> bool {
        self.format == Format::Json
    }

    /// Reports that an interface is guarded from now on.
    pub fn attached(&self, interface: &str, attached: &Attached) {
        self.writer.insist(match self.format {
            Format::Text => folded(&text::attached(interface, attached)),
            Format::Json => json::attached(interface, attached),
        });
    }

    /// Reports an interval. The line is lost if the reader is too far behind: the next one includes its counts.
    pub fn tick(&self, tick: &Tick<'_>) {
        let line = match self.format {
            Format::Text if self.folds => folded(&text::tick(tick)),
            Format::Text => text::tick(tick),
            Format::Json => json::counters("counters", tick).to_string(),
        };
        self.writer.offer(line);
    }

    /// Reports the totals at the end; `stays` if the filter stays attached.
    pub fn totals(self, tick: &Tick<'_>, stays: bool) {
        self.writer.insist(match self.format {
            Format::Text if self.folds => folded(&text::totals(tick, stays)),
            Format::Text => text::totals(tick, stays),
            Format::Json => json::counters("totals", tick).to_string(),
        });
        if !self.finish() {
            warn(format_args!("nobody reads standard output, and the totals are lost"));
        }
    }

    /// Waits until everything is written; `false` if it couldn't be.
    pub fn finish(self) -> bool {
        self.writer.flush()
    }
}
