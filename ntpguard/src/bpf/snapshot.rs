//! Counters summed over CPUs, and the differences between two readings.

use ntpguard_common::{
    Action, Reason,
    abi::{Counter, row},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
};

/// One reading of all counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// What was done: passed by the policy, dropped, answered.
    pub done: Counts,
    /// What passed only because of a trial, and would otherwise have been dropped.
    pub trial: Counts,
}

/// The counts from one bank of counters ([`ntpguard_common::abi::BANKS`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// For each interface that has counted something, by its [`row`]: a counter for each reason, by [`Reason::index`].
    pub rows: BTreeMap<u32, Vec<Counter>>,
    /// Drops by rule and cause: for each rule one counter for each of [`ntpguard_common::abi::CAUSES`]; empty if they
    /// weren't read.
    pub hits: Vec<Counter>,
}

impl Counts {
    /// The count of one reason.
    pub fn of(&self, reason: Reason) -> Counter {
        self.rows.values().map(|reasons| reasons[reason.index() as usize]).sum()
    }

    /// The count of all reasons with this action.
    pub fn total(&self, action: Action) -> Counter {
        Reason::ALL.iter().filter(|reason| reason.action() == action).map(|reason| self.of(*reason)).sum()
    }

    fn at(&self, interface: u32) -> Self {
        let counted = self.rows.get_key_value(&row(interface));
        let rows = counted.map(|(row, reasons)| (*row, reasons.clone())).into_iter().collect();
        Self { rows, hits: Vec::new() }
    }

    fn only(&self, wanted: &[u32]) -> Self {
        let rows = self.rows.iter().filter(|(row, _)| wanted.contains(row));
        Self { rows: rows.map(|(row, reasons)| (*row, reasons.clone())).collect(), hits: Vec::new() }
    }

    fn reaches(&self, earlier: &Self) -> bool {
        let none = Counter::default();
        earlier.rows.iter().all(|(row, then)| {
            let now = self.rows.get(row).map_or(&[][..], Vec::as_slice);
            let now = now.iter().chain(iter::repeat(&none));
            then.iter().zip(now).all(|(then, now)| then.packets <= now.packets && then.bytes <= now.bytes)
        })
    }

    fn since(&self, earlier: &Self) -> Self {
        let Self { rows, hits } = self;
        // A row that is missing in the earlier reading had counted nothing.
        let nothing = vec![Counter::default(); Reason::COUNT];
        let then = |row| earlier.rows.get(row).unwrap_or(&nothing);
        let rows = rows.iter().map(|(row, now)| (*row, differences(now, then(row)))).collect();
        Self { rows, hits: differences(hits, &earlier.hits) }
    }
}

impl Snapshot {
    /// The count of one reason, without trials.
    pub fn of(&self, reason: Reason) -> Counter {
        self.done.of(reason)
    }

    /// The count of one reason, including trials.
    pub fn judged(&self, reason: Reason) -> Counter {
        [self.done.of(reason), self.trial.of(reason)].into_iter().sum()
    }

    /// The count of all reasons with this action, without trials.
    pub fn total(&self, action: Action) -> Counter {
        self.done.total(action)
    }

    /// The count of what passed because of a trial and would otherwise have been dropped.
    pub fn would_drop(&self) -> Counter {
        self.trial.total(Action::Drop)
    }

    /// The rows in which something was counted.
    pub fn rows(&self) -> BTreeSet<u32> {
        self.done.rows.keys().chain(self.trial.rows.keys()).copied().collect()
    }

    /// The counts of one interface, by its index; without hits.
    #[must_use]
    pub fn at(&self, interface: u32) -> Self {
        Self { done: self.done.at(interface), trial: self.trial.at(interface) }
    }

    /// The counts of the interfaces with these [`row`]s, including those that have counted nothing; without hits, which
    /// aren't counted by interface.
    #[must_use]
    pub fn only(&self, wanted: &[u32]) -> Self {
        let (mut done, trial) = (self.done.only(wanted), self.trial.only(wanted));
        for row in wanted {
            done.rows.entry(*row).or_insert_with(|| vec![Counter::default(); Reason::COUNT]);
        }
        Self { done, trial }
    }

    /// The same snapshot without hits.
    #[must_use]
    pub fn without_hits(mut self) -> Self {
        (self.done.hits, self.trial.hits) = (Vec::new(), Vec::new());
        self
    }

    /// Whether no count is lower than in an earlier reading. Some are if other counters have replaced these.
    pub fn reaches(&self, earlier: &Self) -> bool {
        self.done.reaches(&earlier.done) && self.trial.reaches(&earlier.trial)
    }

    /// What was counted since an earlier reading; includes hits if both readings have them and were made under the same
    /// policy.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self { done: self.done.since(&earlier.done), trial: self.trial.since(&earlier.trial) }
    }
}

fn differences(now: &[Counter], then: &[Counter]) -> Vec<Counter> {
    let difference = |(now, then): (&Counter, &Counter)| Counter {
        packets: now.packets - then.packets,
        bytes: now.bytes - then.bytes,
    };
    now.iter().zip(then).map(difference).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(counts: &[(Reason, u64)]) -> Vec<Counter> {
        let mut reasons = vec![Counter::default(); Reason::COUNT];
        for (reason, packets) in counts {
            reasons[reason.index() as usize] = Counter { packets: *packets, bytes: packets * 60 };
        }
        reasons
    }

    fn snapshot(counts: &[(Reason, u64)]) -> Snapshot {
        let rows = BTreeMap::from([(2, counters(counts))]);
        Snapshot { done: Counts { rows, ..Counts::default() }, ..Snapshot::default() }
    }

    #[test]
    fn interfaces_are_told_apart_and_summed_up() {
        let mut all = snapshot(&[(Reason::Time, 5)]);
        let then = all.clone();
        all.done.rows.insert(3, counters(&[(Reason::Time, 7), (Reason::Mode7, 1)]));
        assert_eq!((all.of(Reason::Time).packets, all.at(2).of(Reason::Time).packets), (12, 5));
        assert_eq!(all.at(3).total(Action::Drop).packets, 1);
        assert_eq!(all.at(4).total(Action::Pass).packets, 0);
        assert!(all.reaches(&then) && !then.reaches(&all));
        assert_eq!(all.only(&[3]).of(Reason::Time).packets, 7);
        // A row is included even if it has counted nothing.
        assert_eq!(all.only(&[2, 4]).done.rows.keys().collect::<Vec<_>>(), [&2, &4]);
        // Row 3 had counted nothing before.
        assert_eq!(all.since(&then).of(Reason::Time).packets, 7);
    }

    #[test]
    fn totals_go_by_action() {
        let all =
            snapshot(&[(Reason::Time, 5), (Reason::Query, 2), (Reason::Mode7, 30), (Reason::Ignore, 1)]);
        assert_eq!(all.total(Action::Pass), Counter { packets: 7, bytes: 420 });
        assert_eq!(all.total(Action::Drop), Counter { packets: 31, bytes: 1860 });
    }

    #[test]
    fn a_trial_is_kept_apart() {
        let then = snapshot(&[(Reason::Time, 5), (Reason::Mode7, 1)]);
        let Snapshot { done: trial, .. } = snapshot(&[(Reason::Mode7, 30)]);
        let now = Snapshot { trial, ..then.clone() };
        assert_eq!((now.of(Reason::Mode7).packets, now.judged(Reason::Mode7).packets), (1, 31));
        assert_eq!((now.total(Action::Drop).packets, now.would_drop().packets), (1, 30));
        assert_eq!((now.since(&then).would_drop().packets, now.at(3).would_drop().packets), (30, 0));
        assert!(now.reaches(&then) && !then.reaches(&now) && now.rows().contains(&2));
    }

    #[test]
    fn a_difference_is_what_came_in_between() {
        let (then, now) =
            (snapshot(&[(Reason::Time, 5)]), snapshot(&[(Reason::Time, 8), (Reason::Mode7, 1)]));
        assert_eq!(now.since(&then), snapshot(&[(Reason::Time, 3), (Reason::Mode7, 1)]));
    }
}
