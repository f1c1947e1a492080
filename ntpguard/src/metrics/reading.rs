//! One moment of a guard, as plain data.

use super::Hit;
use crate::{
    bpf::snapshot::Counts,
    guard::{
        reloads::Reloads,
        state::{Rows, in_row},
    },
    observe::life::Life,
};
use ntpguard_common::{Reason, abi::Counter};
use std::{collections::BTreeMap, time::SystemTime};

/// All that a scrape shows.
#[derive(Clone, Debug)]
pub struct Reading {
    /// By [`Reason::index`], for each interface.
    pub interfaces: BTreeMap<String, Vec<Counter>>,
    /// The same of what passed in trials and would have been dropped.
    pub would: BTreeMap<String, Vec<Counter>>,
    /// The lines with most hits, and the rest.
    pub lines: Vec<Hit>,
    /// The same of trials.
    pub would_lines: Vec<Hit>,
    /// Each interface that is to be guarded, and whether the filter runs there.
    pub guarded: Vec<(String, Life)>,
    /// What the limiter remembers; nothing where nobody is limited.
    pub tracked: Option<Tracked>,
    /// The policy's number.
    pub generation: u32,
    /// How many rules it has.
    pub rules: usize,
    /// Everything passes, and what would be dropped is counted.
    pub trial: bool,
    /// Attempts to read the policy again.
    pub reloads: Reloads,
    /// Drops that were drawn to be told of one by one; nothing where none are drawn.
    pub events: Option<Drawn>,
    /// The names in ntp.conf.
    pub names: Names,
    /// Lines that set up associations, by their first word.
    pub associations: BTreeMap<String, usize>,
    /// When the process began.
    pub start: SystemTime,
    /// When this was read.
    pub now: SystemTime,
}

/// How much of the limiter's table is taken. Addresses stay out of metrics.
#[derive(Clone, Copy, Debug)]
pub struct Tracked {
    /// Sources that it remembers.
    pub sources: usize,
    /// Places for them.
    pub places: usize,
    /// Sources that `--max-rate` prefers.
    pub known: usize,
}

/// What became of the drops that were drawn.
#[derive(Clone, Copy, Debug)]
pub struct Drawn {
    /// Told.
    pub told: u64,
    /// Lost, since `--event-rate` had been reached.
    pub lost_rate: u64,
    /// Lost, since the ring was full.
    pub lost_ring: u64,
}

/// Names that are looked up.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// All of them.
    pub all: usize,
    /// Those that had no answer the last time.
    pub failing: usize,
}

/// The counters of each interface by its name. One that went and came back has counted in two places, and one that has
/// counted nothing is there too: a rate needs the zero before the first packet.
pub fn interfaces(counts: &Counts, rows: &Rows) -> BTreeMap<String, Vec<Counter>> {
    let nothing = vec![Counter::default(); Reason::COUNT];
    let mut interfaces = BTreeMap::new();
    for row in rows.keys().chain(counts.rows.keys().filter(|row| !rows.contains_key(row))) {
        let counted = counts.rows.get(row).unwrap_or(&nothing);
        let sums: &mut Vec<Counter> = interfaces.entry(in_row(rows, *row)).or_insert_with(|| nothing.clone());
        for (sum, counter) in sums.iter_mut().zip(counted) {
            *sum = [*sum, *counter].into_iter().sum();
        }
    }
    interfaces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_came_back_is_one_and_a_silent_one_is_there() {
        let counted = |packets| {
            let mut reasons = vec![Counter::default(); Reason::COUNT];
            reasons[Reason::Mode7.index() as usize] = Counter { packets, bytes: packets * 60 };
            reasons
        };
        let counts = Counts { rows: BTreeMap::from([(2, counted(5)), (9, counted(7))]), hits: Vec::new() };
        let named = |name: &str| vec![name.to_owned()];
        let rows = Rows::from([(2, named("eth0")), (3, named("eth1")), (9, named("eth0"))]);
        let all = interfaces(&counts, &rows);
        let of = |name: &str| all[name][Reason::Mode7.index() as usize];
        assert_eq!(of("eth0"), Counter { packets: 12, bytes: 720 });
        assert_eq!((of("eth1").packets, all.len()), (0, 2));
    }
}
