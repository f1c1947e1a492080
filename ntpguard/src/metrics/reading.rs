//! The state of a guard at one moment, as plain data.

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
pub struct MetricValues {
    /// Counters by interface and [`Reason::index`].
    pub interfaces: BTreeMap<String, Vec<Counter>>,
    /// The same for what passed in trials and would have been dropped.
    pub would: BTreeMap<String, Vec<Counter>>,
    /// Hits by line, for the lines with most hits and for all others together.
    pub lines: Vec<Hit>,
    /// The same for trials.
    pub would_lines: Vec<Hit>,
    /// Each interface that is to be guarded, with whether the filter runs there.
    pub guarded: Vec<(String, Life)>,
    /// How many sources the limiter tracks; `None` if nobody is limited.
    pub tracked: Option<Tracked>,
    /// The generation of the policy in force.
    pub generation: u32,
    /// How many rules it has.
    pub rules: usize,
    /// Whether this is a trial: everything passes, and what would be dropped is counted.
    pub trial: bool,
    /// Attempts to read the policy again.
    pub reloads: Reloads,
    /// Sampled drops; `None` if none are sampled.
    pub events: Option<Drawn>,
    /// How many names ntp.conf has.
    pub names: Names,
    /// The number of lines that set up associations, by keyword.
    pub associations: BTreeMap<String, usize>,
    /// The daemon's live associations; `None` if no line is for them.
    pub live: Option<Live>,
    /// When the process began.
    pub start: SystemTime,
    /// When this reading was taken.
    pub now: SystemTime,
}

/// How full the limiter's table is. Metrics don't have addresses.
#[derive(Clone, Copy, Debug)]
pub struct Tracked {
    /// How many sources it tracks.
    pub sources: usize,
    /// How many it has room for.
    pub places: usize,
    /// How many sources `--max-rate` prefers.
    pub known: usize,
}

/// The daemon's live associations. Metrics don't have addresses.
#[derive(Clone, Copy, Debug)]
pub struct Live {
    /// How many there are.
    pub associations: usize,
    /// Packets that arrived from them.
    pub packets: u64,
    /// Packets that arrived from an address that may be one.
    pub unknown: u64,
    /// Packets that left and found no place in the table.
    pub full: u64,
    /// For how many more seconds any address may be one; infinite if that has no end.
    pub open: f64,
}

/// What became of sampled drops.
#[derive(Clone, Copy, Debug)]
pub struct Drawn {
    /// Sent to followers.
    pub told: u64,
    /// Not sent because `--event-rate` was reached.
    pub lost_rate: u64,
    /// Not sent because the ring was full.
    pub lost_ring: u64,
}

/// How many names are looked up.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// All names.
    pub all: usize,
    /// Those without an answer at the last look-up.
    pub failing: usize,
}

/// The counters of each interface, by name. An interface that disappeared and came back is counted in two rows, which are
/// added up. One that has counted nothing is included, because a rate needs the zero before the first packet.
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
