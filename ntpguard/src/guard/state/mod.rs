//! What outlives a process: by which options the filter that is pinned was made, and which rules it counts for.
//!
//! A file, read by people and by the next ntpguard. It never decides what is dropped: without it the filter goes on, and
//! what is lost is which line a hit belongs to.

mod earlier;
mod in_force;
mod summary;
mod written;

pub use in_force::{Cause, InForce, Origin, Rule, rules};
pub use summary::{PolicySummary, Summary};
pub use written::Unreadable;

use crate::{
    guard::{loaded_policy::LoadedPolicy, options::Guarding},
    host::features::Altered,
    policy::resolve::Answers,
};
use ntpguard_common::abi::row;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// The whole of it.
#[derive(Debug, Deserialize, Serialize)]
pub struct State {
    /// The options of the last `run` or `attach`.
    #[serde(deserialize_with = "earlier::options")]
    pub options: Guarding,
    /// The policy in force.
    pub policy: Option<InForce>,
    /// The last good answers to names.
    pub names: Answers,
    /// The network namespace that they are in.
    #[serde(default)]
    pub namespace: Option<u64>,
    /// Where the filter is pinned; an earlier version didn't say.
    #[serde(default)]
    pub pins: Option<PathBuf>,
    /// Which interfaces are counted at which [`row`], gone ones too.
    #[serde(rename = "seats")]
    pub rows: Rows,
    /// What attaching has changed of network cards, by the indexes of their interfaces.
    #[serde(default)]
    pub cards: BTreeMap<u32, Card>,
    /// Why the last attempt at another policy failed; nothing if it didn't.
    pub failure: Option<Failure>,
    /// How many attempts at another policy there were.
    pub attempts: u64,
    /// The `ntpguard run` that looks after the filter.
    pub run: Option<i32>,
    /// The group that may read this, by its number.
    #[serde(default)]
    pub group: Option<u32>,
}

/// Names of interfaces, by their [`row`]: mostly one, and more where one is gone and another has got its index.
pub type Rows = BTreeMap<u32, Vec<String>>;

/// Which interfaces are counted in a row, in words.
pub fn in_row(rows: &Rows, row: u32) -> String {
    rows.get(&row).map_or_else(|| "another".to_owned(), |names| names.join("+"))
}

/// A network card with the filter before it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Card {
    /// The name of its interface.
    pub name: String,
    /// The index of the interface that is guarded: the same, or that of the bond that it is a member of.
    pub guarded: u32,
    /// Its features before and after.
    pub altered: Altered,
}

/// An attempt that failed.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Failure {
    /// When: seconds since 1970.
    pub when: u64,
    /// Why.
    pub message: String,
}

/// What is new about a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The policy's number.
    pub generation: u32,
    /// Rules that weren't there before.
    pub added: usize,
    /// Rules that are gone.
    pub removed: usize,
    /// All of its rules.
    pub rules: usize,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generation, added, removed, rules } = self;
        write!(f, "policy {generation}: +{added} \u{2212}{removed} rules, {rules} in all")
    }
}

impl State {
    /// Of a filter that isn't there yet.
    pub fn new(options: Guarding) -> Self {
        Self {
            options,
            policy: None,
            names: Answers::new(),
            namespace: None,
            pins: None,
            rows: Rows::new(),
            cards: BTreeMap::new(),
            failure: None,
            attempts: 0,
            run: None,
            group: None,
        }
    }

    /// Says where an interface is counted, by its index; returns all that are counted there.
    pub fn register(&mut self, interface: &str, index: u32) -> &[String] {
        let names = self.rows.entry(row(index)).or_default();
        if !names.iter().any(|name| name == interface) {
            names.push(interface.to_owned());
        }
        names
    }

    /// Says that another policy is in force from now on.
    /// `carried` is what [`State::carried`] said of it.
    pub fn put(
        &mut self,
        loaded: &LoadedPolicy,
        rules: Vec<Rule>,
        carried: &[Option<usize>],
        generation: u32,
    ) {
        let before = |place: &Option<usize>| Some(self.policy.as_ref()?.born((*place)?));
        let born = carried.iter().map(|place| before(place).unwrap_or(generation)).collect();
        self.policy = Some(InForce::new(loaded, rules, born, generation, now()));
        self.failure = None;
    }

    /// Says that another policy couldn't come into force.
    pub fn fail(&mut self, message: String) {
        self.failure = Some(Failure { when: now(), message });
    }

    /// The policy of a number. If another one is in force than this speaks of, nobody knows whose its hits are.
    pub fn known(&self, generation: u32) -> Option<&InForce> {
        self.policy.as_ref().filter(|policy| policy.generation == generation)
    }

    /// For each rule of a ruling, its place in the policy that is in force now, if it has one there.
    pub fn carried(&self, rules: &[Rule], generation: u32) -> Vec<Option<usize>> {
        let before = self.known(generation).map_or(&[][..], |policy| &policy.rules);
        // Equal rules of one policy can't be: the daemon's list has one entry a network.
        let places: HashMap<_, _> = before.iter().enumerate().map(|(place, rule)| (rule, place)).collect();
        rules.iter().map(|rule| places.get(rule).copied()).collect()
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("state.json")
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
