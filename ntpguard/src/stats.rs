//! Counters summed over CPUs, and the differences between two readings.

use ntpguard_common::{Action, Reason, abi::Counter};

/// One reading of all counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// By [`Reason::index`].
    pub reasons: Vec<Counter>,
    /// Drops by rule and cause: for each rule those of [`ntpguard_common::abi::CAUSES`]; empty if they weren't read.
    pub hits: Vec<Counter>,
}

impl Snapshot {
    /// What one reason has counted.
    pub fn of(&self, reason: Reason) -> Counter {
        self.reasons[reason.index() as usize]
    }

    /// All reasons with this action.
    pub fn total(&self, action: Action) -> Counter {
        Reason::ALL.iter().filter(|reason| reason.action() == action).map(|reason| self.of(*reason)).sum()
    }

    /// What was counted since an earlier reading; hits, if both were read under the same policy.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let Self { reasons, hits } = self;
        Self { reasons: differences(reasons, &earlier.reasons), hits: differences(hits, &earlier.hits) }
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

    fn snapshot(counts: &[(Reason, u64)]) -> Snapshot {
        let mut reasons = vec![Counter::default(); Reason::COUNT];
        for (reason, packets) in counts {
            reasons[reason.index() as usize] = Counter { packets: *packets, bytes: packets * 60 };
        }
        Snapshot { reasons, hits: Vec::new() }
    }

    #[test]
    fn totals_go_by_action() {
        let all =
            snapshot(&[(Reason::Time, 5), (Reason::Query, 2), (Reason::Mode7, 30), (Reason::Ignore, 1)]);
        assert_eq!(all.total(Action::Pass), Counter { packets: 7, bytes: 420 });
        assert_eq!(all.total(Action::Drop), Counter { packets: 31, bytes: 1860 });
    }

    #[test]
    fn a_difference_is_what_came_in_between() {
        let (then, now) =
            (snapshot(&[(Reason::Time, 5)]), snapshot(&[(Reason::Time, 8), (Reason::Mode7, 1)]));
        assert_eq!(now.since(&then), snapshot(&[(Reason::Time, 3), (Reason::Mode7, 1)]));
    }
}
