//! A reading of everything that is counted, as `top` shows it.

use crate::{
    bpf::snapshot::Snapshot,
    export::Tick,
    guard::state::{self, Cause, InForce, Rows, State, in_row},
    observe::{event::Blamed, view::FilterView},
};
use anyhow::Result;
use ntpguard_common::{
    Action, Reason,
    abi::{Counter, PolicyWord},
};
use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

/// The networks that `restrict default` stands for, one for each family.
const EVERYBODY: [&str; 2] = ["0.0.0.0/0", "::/0"];

/// A reading.
#[derive(Clone, Debug)]
pub struct Poll {
    /// When it was taken.
    pub taken: Instant,
    /// When it was taken, in seconds since 1970.
    pub time: u64,
    /// The counters since the filter was first attached, by [`Reason::index`]. In a trial, those of drops count what would
    /// have been dropped in trials.
    pub reasons: Vec<Counter>,
    /// How many drops `reasons` excludes: those of trials, or in a trial, the real ones.
    pub others: u64,
    /// The hits of each line and reason (in a trial, those of trials), including those without a line.
    pub lines: Vec<LineDrops>,
    /// TopSources that were limited, and how often at least; most first.
    pub limited: Vec<(IpAddr, u64)>,
    /// The policy in force, in words.
    pub policy: String,
    /// The policy's generation.
    pub generation: u32,
    /// The line that refuses queries to all sources without another line, if there is one.
    pub everybody: Option<Blamed>,
    /// Why it is unknown which rules the hits belong to.
    pub unknown: Option<String>,
    /// Whether this is a trial: everything passes.
    pub trial: bool,
    /// The interfaces where the filter is attached but isn't run, with the evidence.
    pub silent: Vec<String>,
    /// The names of the guarded interfaces.
    pub interfaces: Vec<String>,
    /// The process id of the `ntpguard run` that looks after the filter.
    pub run: Option<i32>,
    /// Which maps were read: others count from zero.
    pub identity: u32,
}

/// What a line refused for a reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineDrops {
    /// Why packets were refused.
    pub reason: Reason,
    /// The line; `None` if the rule is built in, or the line is unknown.
    pub blamed: Option<Blamed>,
    /// How many packets and bytes; zero for a line that has refused nothing yet.
    pub counter: Counter,
}

impl Poll {
    /// The reading in a view.
    ///
    /// # Errors
    /// The kernel refuses to read a map.
    pub(crate) fn of(view: &FilterView) -> Result<Self> {
        let nobody = Rows::new();
        let policy = view.policy();
        let tick = Tick {
            elapsed: Duration::ZERO,
            since: Snapshot::default(),
            total: &view.counted,
            rows: view.state.as_ref().map_or(&nobody, |state| &state.rows),
            policy,
            trial: view.word.has(PolicyWord::TRIAL),
            tracked: None,
        };
        // The table is large, and usually nobody is limited.
        let is_limited = view.counted.judged(Reason::Limited).packets > 0;
        let limited = if is_limited { view.limited()? } else { Default::default() };
        let mut limited: Vec<_> = limited.into_iter().collect();
        limited.sort_by_key(|(source, packets)| (std::cmp::Reverse(*packets), *source));
        let generation = view.word.generation;
        let (done, would) = (&view.counted.done, &view.counted.trial);
        let [now, others] = if tick.trial { [would, done] } else { [done, would] };
        let of_reason = |reason: &Reason| match reason.action() {
            Action::Drop => now.of(*reason),
            Action::Pass | Action::Transmit => done.of(*reason),
        };
        Ok(Self {
            taken: view.taken,
            time: state::now(),
            reasons: Reason::ALL.iter().map(of_reason).collect(),
            others: others.total(Action::Drop).packets,
            lines: lines(&tick),
            limited,
            policy: policy.map_or_else(|| format!("policy {generation}"), InForce::to_string),
            generation,
            everybody: policy.and_then(everybody),
            unknown: view.unknown.clone(),
            trial: tick.trial,
            silent: Vec::new(),
            interfaces: view.counted.rows().into_iter().map(|row| in_row(tick.rows, row)).collect(),
            run: view.state.as_ref().and_then(|state: &State| state.run),
            identity: view.identity,
        })
    }

    /// The counter of a reason.
    pub fn reason(&self, reason: Reason) -> Counter {
        self.reasons.get(reason.index() as usize).copied().unwrap_or_default()
    }

    /// The sum over all reasons with this action.
    pub fn total(&self, action: Action) -> Counter {
        let reasons = Reason::ALL.iter().filter(|reason| reason.action() == action);
        reasons.map(|reason| self.reason(*reason)).sum()
    }

    /// How many packets didn't pass: those that were dropped or answered.
    pub fn refused(&self) -> u64 {
        self.total(Action::Drop).packets + self.total(Action::Transmit).packets
    }

    /// Whether an earlier reading is of the same counters; trials have counters of their own.
    pub fn goes_on_from(&self, earlier: &Self) -> bool {
        let mut both = self.reasons.iter().zip(&earlier.reasons);
        let same = self.identity == earlier.identity && self.trial == earlier.trial;
        same && both.all(|(now, then)| now.packets >= then.packets)
    }
}

/// The hits by line and reason, including lines without a hit.
fn lines(tick: &Tick<'_>) -> Vec<LineDrops> {
    let blamed = |cause: Cause<'_>| Blamed {
        file: cause.file.to_owned(),
        line: cause.line,
        text: cause.text.to_owned(),
    };
    let mut sums: BTreeMap<(u32, Option<Cause<'_>>), (Reason, Counter)> = BTreeMap::new();
    let could = tick.policy.into_iter().flat_map(|policy| policy.causes());
    let could = could.map(|(cause, reason)| (reason, Some(cause), Counter::default()));
    let hits = tick.hits().filter(|_| !tick.trial).chain(tick.would_hits().filter(|_| tick.trial));
    for (reason, cause, counter) in could.chain(hits.map(|hit| (hit.reason, hit.cause, hit.counter))) {
        let (_, sum) = sums.entry((reason.index(), cause)).or_insert((reason, Counter::default()));
        *sum = [*sum, counter].into_iter().sum();
    }
    let lines = sums.into_iter();
    // Every line that limits could send a kiss, but few do: those that haven't are left out.
    let lines = lines.filter(|(_, (reason, counter))| *reason != Reason::Kod || counter.packets > 0);
    lines
        .map(|((_, cause), (reason, counter))| LineDrops { reason, blamed: cause.map(blamed), counter })
        .collect()
}

/// The line that refuses queries to all sources without another line.
fn everybody(policy: &InForce) -> Option<Blamed> {
    let all = policy.rules.iter().enumerate().filter(|(_, rule)| EVERYBODY.contains(&rule.net.as_str()));
    let cause = |(place, _)| {
        [Reason::Noquery, Reason::Ignore].into_iter().find_map(|reason| policy.cause(place, reason))
    };
    let Cause { file, line, text, .. } = all.filter(|(_, rule)| !rule.ntpport).find_map(cause)?;
    Some(Blamed { file: file.to_owned(), line, text: text.to_owned() })
}
