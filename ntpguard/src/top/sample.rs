//! One reading of everything that is counted, as `top` shows it.

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

/// What `restrict default` means for each family.
const EVERYBODY: [&str; 2] = ["0.0.0.0/0", "::/0"];

/// One reading.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When.
    pub taken: Instant,
    /// The same, in seconds since 1970.
    pub time: u64,
    /// What each reason has counted since the filter was attached first, by [`Reason::index`]; in a trial, of drops what would have
    /// been dropped in trials.
    pub reasons: Vec<Counter>,
    /// The drops that aren't in there: of trials, or in a trial those before.
    pub others: u64,
    /// What each line has, and what has none: each line and reason once; in a trial, of trials.
    pub lines: Vec<Line>,
    /// Sources that were limited, and how often at least; most first.
    pub limited: Vec<(IpAddr, u64)>,
    /// The policy in force, in words.
    pub policy: String,
    /// Its number.
    pub generation: u32,
    /// The line that refuses queries to everybody, if one does.
    pub everybody: Option<Blamed>,
    /// Why nobody knows whose the hits are.
    pub unknown: Option<String>,
    /// Everything passes: a trial.
    pub trial: bool,
    /// Where the filter is attached and isn't run, and how that is known.
    pub silent: Vec<String>,
    /// What is guarded.
    pub interfaces: Vec<String>,
    /// The `ntpguard run` that looks after the filter.
    pub run: Option<i32>,
    /// Which maps were read: others count from zero.
    pub identity: u32,
}

/// What was refused by a line, for a reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Why.
    pub reason: Reason,
    /// The line; `None` if it is built in, or nobody knows.
    pub blamed: Option<Blamed>,
    /// How much: zero for a line that has refused nothing yet.
    pub counter: Counter,
}

impl Sample {
    /// Of a look.
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
        // The table isn't small, and mostly nobody is limited.
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

    /// What one reason has counted.
    pub fn reason(&self, reason: Reason) -> Counter {
        self.reasons.get(reason.index() as usize).copied().unwrap_or_default()
    }

    /// All reasons with this action.
    pub fn total(&self, action: Action) -> Counter {
        let reasons = Reason::ALL.iter().filter(|reason| reason.action() == action);
        reasons.map(|reason| self.reason(*reason)).sum()
    }

    /// What didn't pass: dropped, and answered.
    pub fn refused(&self) -> u64 {
        self.total(Action::Drop).packets + self.total(Action::Transmit).packets
    }

    /// Whether an earlier reading is of the same counters: those of a trial are others.
    pub fn goes_on_from(&self, earlier: &Self) -> bool {
        let mut both = self.reasons.iter().zip(&earlier.reasons);
        let same = self.identity == earlier.identity && self.trial == earlier.trial;
        same && both.all(|(now, then)| now.packets >= then.packets)
    }
}

/// By line and reason; lines without a hit, too.
fn lines(tick: &Tick<'_>) -> Vec<Line> {
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
    // A kiss instead of a drop is rare, and each line that limits may send one.
    let lines = lines.filter(|(_, (reason, counter))| *reason != Reason::Kod || counter.packets > 0);
    lines.map(|((_, cause), (reason, counter))| Line { reason, blamed: cause.map(blamed), counter }).collect()
}

/// The line that keeps everybody from querying whom no other line speaks of.
fn everybody(policy: &InForce) -> Option<Blamed> {
    let all = policy.rules.iter().enumerate().filter(|(_, rule)| EVERYBODY.contains(&rule.net.as_str()));
    let cause = |(place, _)| {
        [Reason::Noquery, Reason::Ignore].into_iter().find_map(|reason| policy.cause(place, reason))
    };
    let Cause { file, line, text, .. } = all.filter(|(_, rule)| !rule.ntpport).find_map(cause)?;
    Some(Blamed { file: file.to_owned(), line, text: text.to_owned() })
}
