//! What happened in a span of time, in the form that all outputs use.

use crate::{
    bpf::snapshot::{Counts, Snapshot},
    guard::state::{Cause, InForce, Rows, Rule, in_row},
    observe::limited::Tracked,
};
use ntpguard_common::{
    Action, Reason,
    abi::{CAUSES, Counter},
};
use std::time::Duration;

/// What happens to packets, in words.
pub(super) const ACTIONS: [(Action, &str); 3] =
    [(Action::Pass, "passed"), (Action::Drop, "dropped"), (Action::Transmit, "answered")];

/// What happened in a span of time.
pub struct Tick<'a> {
    /// The length of the span; zero if there is none, and so no rates.
    pub elapsed: Duration,
    /// What was counted in it.
    pub since: Snapshot,
    /// What was counted since the filter was first attached, or since a reset.
    pub total: &'a Snapshot,
    /// Which interfaces are counted in which row.
    pub rows: &'a Rows,
    /// The policy that the hits belong to, if it is known.
    pub policy: Option<&'a InForce>,
    /// Whether this is a trial now: everything passes.
    pub trial: bool,
    /// Which sources are tracked and limited, if the policy limits anyone.
    pub tracked: Option<Tracked>,
}

impl Tick<'_> {
    /// A count as a rate per second in this span; `None` without a span.
    pub(super) fn rate(&self, count: u64) -> Option<f64> {
        (!self.elapsed.is_zero()).then(|| count as f64 / self.elapsed.as_secs_f64())
    }

    /// The share of all counted packets that `packets` are.
    pub(super) fn share(&self, packets: u64) -> Option<f64> {
        let all: u64 = ACTIONS.iter().map(|(action, _)| self.total.total(*action).packets).sum();
        let all = all + self.total.would_drop().packets;
        (all > 0).then(|| packets as f64 / all as f64)
    }

    /// The hits of each rule, by reason.
    pub(crate) fn hits(&self) -> impl Iterator<Item = Hit<'_>> {
        self.hits_among(self.total.done.hits.as_slice())
    }

    /// The same for trials.
    pub(crate) fn would_hits(&self) -> impl Iterator<Item = Hit<'_>> {
        self.hits_among(self.total.trial.hits.as_slice())
    }

    fn hits_among<'a>(&'a self, counters: &'a [Counter]) -> impl Iterator<Item = Hit<'a>> {
        let hits = self.policy.into_iter().flat_map(move |policy| {
            let causes = policy.rules.iter().enumerate();
            let causes = causes.flat_map(|(place, rule)| CAUSES.map(|reason| (place, rule, reason)));
            causes.zip(counters).map(move |((place, rule, reason), counter)| Hit {
                rule,
                reason,
                cause: policy.cause(place, reason),
                counter: *counter,
            })
        });
        hits.filter(|hit| hit.counter.packets > 0)
    }

    /// What was counted at each interface, by name: in all, and in this span.
    pub(super) fn interfaces(&self) -> impl Iterator<Item = (String, Snapshot, Snapshot)> {
        let rows = self.total.rows().into_iter();
        rows.map(|row| (in_row(self.rows, row), self.total.at(row), self.since.at(row)))
    }
}

/// Drops or kisses by one rule for one reason.
pub(crate) struct Hit<'a> {
    pub(crate) rule: &'a Rule,
    pub(crate) reason: Reason,
    /// The line to blame, if there is one.
    pub(crate) cause: Option<Cause<'a>>,
    pub(crate) counter: Counter,
}

/// The reasons that have counted something.
pub(super) fn counted(counts: &Counts) -> impl Iterator<Item = (Reason, Counter)> + '_ {
    Reason::ALL.iter().map(|&reason| (reason, counts.of(reason))).filter(|(_, counter)| counter.packets > 0)
}
