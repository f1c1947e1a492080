//! Which frames the filter has seen on an interface, whatever became of them.

use super::maps::Maps;
use crate::bpf::snapshot::Snapshot;
use anyhow::Result;
use ntpguard_common::abi::{self, QUEUES, gate, row};
use std::collections::BTreeMap;

/// One reading: frames without NTP by interface and receive queue, and the number of frames judged.
///
/// Interfaces whose indexes differ by a multiple of [`abi::ROWS`] share counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Frames without NTP, by [`gate`].
    gates: Vec<u64>,
    /// Frames judged, by [`row`].
    judged: BTreeMap<u32, u64>,
}

impl Maps {
    /// Reads the counts of all interfaces.
    ///
    /// # Errors
    /// The kernel refuses to read a map.
    pub fn seen(&self) -> Result<Seen> {
        let gates = self.table::<abi::Seen>("SEEN")?.values().iter().map(abi::Seen::frames).collect();
        let Snapshot { done, trial } = self.counters(false)?;
        let mut judged = BTreeMap::new();
        for (row, reasons) in done.rows.into_iter().chain(trial.rows) {
            *judged.entry(row).or_default() += reasons.iter().map(|counter| counter.packets).sum::<u64>();
        }
        Ok(Seen { gates, judged })
    }
}

impl Seen {
    /// How many frames of an interface, by its index, the filter has seen since an earlier reading of the same maps. In
    /// generic mode and at tc this may be slightly too low, but it is 0 only if none was seen.
    pub fn since(&self, earlier: &Self, interface: u32) -> u64 {
        let passed = (0..QUEUES).map(|queue| self.passed_since(earlier, interface, queue));
        passed.sum::<u64>() + self.judged_since(earlier, interface)
    }

    /// How many of these came in by a receive queue (or one that shares its counter) and were without NTP.
    pub fn passed_since(&self, earlier: &Self, interface: u32, queue: u32) -> u64 {
        let at = gate(interface, queue);
        let of = |seen: &Self| seen.gates.get(at as usize).copied().unwrap_or_default();
        match (of(earlier), of(self)) {
            (then, now) if now >= then => now - then,
            // The counter went back because two CPUs wrote to it at once.
            _ => 1,
        }
    }

    /// How many of these were packets to port 123, or may have been.
    pub fn judged_since(&self, earlier: &Self, interface: u32) -> u64 {
        let of = |seen: &Self| seen.judged.get(&row(interface)).copied().unwrap_or_default();
        of(self).saturating_sub(of(earlier))
    }
}

#[cfg(test)]
impl Seen {
    /// A reading with these numbers of frames without NTP in the first queues of an interface, and this number of
    /// frames judged.
    pub(crate) fn made_up(interface: u32, queues: &[u64], judged: u64) -> Self {
        let mut gates = vec![0; abi::GATES as usize];
        for (queue, frames) in (0..).zip(queues) {
            gates[gate(interface, queue) as usize] = *frames;
        }
        Self { gates, judged: BTreeMap::from([(row(interface), judged)]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_all_queues_and_of_all_kinds_are_seen() {
        let then = Seen::made_up(7, &[5, 9], 3);
        assert_eq!(then.since(&then, 7), 0);
        assert_eq!(Seen::made_up(7, &[6, 11, 2], 4).since(&then, 7), 1 + 2 + 2 + 1);
        assert_eq!(Seen::made_up(7, &[6, 11, 2], 4).since(&then, 8), 0, "another interface");
        // A counter that went back shows at least one frame.
        assert_eq!(Seen::made_up(7, &[4, 9], 3).since(&then, 7), 1);
    }
}
