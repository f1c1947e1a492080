//! What happened in a span of time, as all outputs have it.

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

/// What becomes of packets, in the words of people.
pub(super) const ACTIONS: [(Action, &str); 3] =
    [(Action::Pass, "passed"), (Action::Drop, "dropped"), (Action::Transmit, "answered")];

/// What happened in a span of time.
pub struct Tick<'a> {
    /// The span; zero where there is none, and so no rate.
    pub elapsed: Duration,
    /// What was counted in it.
    pub since: Snapshot,
    /// What was counted since the filter was attached first.
    pub total: &'a Snapshot,
    /// Which interfaces are counted where.
    pub rows: &'a Rows,
    /// Whose the hits are, if anybody knows.
    pub policy: Option<&'a InForce>,
    /// Whether it is a trial now: everything passes.
    pub trial: bool,
    /// Who is remembered and limited, if the policy limits anyone.
    pub tracked: Option<Tracked>,
}

impl Tick<'_> {
    /// So much a second in this span.
    pub(super) fn rate(&self, count: u64) -> Option<f64> {
        (!self.elapsed.is_zero()).then(|| count as f64 / self.elapsed.as_secs_f64())
    }

    /// The part that so many packets are of all that were counted.
    pub(super) fn share(&self, packets: u64) -> Option<f64> {
        let all: u64 = ACTIONS.iter().map(|(action, _)| self.total.total(*action).packets).sum();
        let all = all + self.total.would_drop().packets;
        (all > 0).then(|| packets as f64 / all as f64)
    }

    /// The hits of each rule under each of its flags.
    pub(crate) fn hits(&self) -> impl Iterator<Item = Hit<'_>> {
        self.hits_among(self.total.done.hits.as_slice())
    }

    /// The same of trials.
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

    /// What was counted at each interface, by its name: in all, and in this span.
    pub(super) fn interfaces(&self) -> impl Iterator<Item = (String, Snapshot, Snapshot)> {
        let rows = self.total.rows().into_iter();
        rows.map(|row| (in_row(self.rows, row), self.total.at(row), self.since.at(row)))
    }
}

/// Drops or kisses by one flag of a rule.
pub(crate) struct Hit<'a> {
    pub(crate) rule: &'a Rule,
    pub(crate) reason: Reason,
    /// The line that is to blame, if one is.
    pub(crate) cause: Option<Cause<'a>>,
    pub(crate) counter: Counter,
}

/// The reasons that have counted something.
pub(super) fn counted(counts: &Counts) -> impl Iterator<Item = (Reason, Counter)> + '_ {
    Reason::ALL.iter().map(|&reason| (reason, counts.of(reason))).filter(|(_, counter)| counter.packets > 0)
}
