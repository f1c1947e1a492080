//! What outlives a process: the options that the pinned filter was made with, and the rules that it counts for.
//!
//! It is a file, read by people and by the next ntpguard. It never decides what is dropped: without it the filter goes on,
//! but which line a hit belongs to is lost.

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

/// The content of `state.json`.
#[derive(Debug, Deserialize, Serialize)]
pub struct State {
    /// The options of the last `run` or `attach`.
    #[serde(deserialize_with = "earlier::options")]
    pub options: Guarding,
    /// The policy in force.
    pub policy: Option<InForce>,
    /// The last good answer for each name.
    pub names: Answers,
    /// The network namespace of the guarded interfaces, as an inode number.
    #[serde(default)]
    pub namespace: Option<u64>,
    /// The pin folder; earlier versions didn't write it.
    #[serde(default)]
    pub pins: Option<PathBuf>,
    /// Which interfaces are counted in which [`row`], including interfaces that are gone.
    #[serde(rename = "seats")]
    pub rows: Rows,
    /// How attaching changed the features of network cards, by interface index.
    #[serde(default)]
    pub cards: BTreeMap<u32, Card>,
    /// Why the last attempt at another policy failed; `None` if it succeeded.
    pub failure: Option<Failure>,
    /// How many times another policy was attempted.
    pub attempts: u64,
    /// The process id of the `ntpguard run` that looks after the filter.
    pub run: Option<i32>,
    /// The number of the group that may read the state.
    #[serde(default)]
    pub group: Option<u32>,
}

/// Names of interfaces by their [`row`]: usually one, and more if an interface is gone and another one has got its index.
pub type Rows = BTreeMap<u32, Vec<String>>;

/// The names of the interfaces that are counted in a row.
pub fn in_row(rows: &Rows, row: u32) -> String {
    rows.get(&row).map_or_else(|| "another".to_owned(), |names| names.join("+"))
}

/// A network card that the filter was attached to.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Card {
    /// The name of its interface.
    pub name: String,
    /// The index of the guarded interface: the card's own, or that of the bond that it is a member of.
    pub guarded: u32,
    /// Its features before and after attaching.
    pub altered: Altered,
}

/// A failed attempt at another policy.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Failure {
    /// When it failed, in seconds since 1970.
    pub when: u64,
    /// The error.
    pub message: String,
}

/// How a new policy differs from the previous one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The policy's generation.
    pub generation: u32,
    /// How many rules are new.
    pub added: usize,
    /// How many rules are gone.
    pub removed: usize,
    /// How many rules the policy has.
    pub rules: usize,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generation, added, removed, rules } = self;
        write!(f, "policy {generation}: +{added} \u{2212}{removed} rules, {rules} in all")
    }
}

impl State {
    /// The state of a filter that doesn't exist yet.
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

    /// Records in which row an interface is counted, by its index; returns the names of all interfaces in that row.
    pub fn register(&mut self, interface: &str, index: u32) -> &[String] {
        let names = self.rows.entry(row(index)).or_default();
        if !names.iter().any(|name| name == interface) {
            names.push(interface.to_owned());
        }
        names
    }

    /// Records that another policy is in force from now on. `carried` is the result of [`State::carried`] for its rules.
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

    /// Records that another policy couldn't be put in force.
    pub fn fail(&mut self, message: String) {
        self.failure = Some(Failure { when: now(), message });
    }

    /// The policy, if it has this generation. If another one is in force, it is unknown which rules its hits belong to.
    pub fn known(&self, generation: u32) -> Option<&InForce> {
        self.policy.as_ref().filter(|policy| policy.generation == generation)
    }

    /// For each of these rules, the index of the same rule in the policy of this generation, if it has one there.
    pub fn carried(&self, rules: &[Rule], generation: u32) -> Vec<Option<usize>> {
        let before = self.known(generation).map_or(&[][..], |policy| &policy.rules);
        // No two rules of one policy are equal: the daemon's list has one entry per network.
        let places: HashMap<_, _> = before.iter().enumerate().map(|(place, rule)| (rule, place)).collect();
        rules.iter().map(|rule| places.get(rule).copied()).collect()
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("state.json")
}

/// The time in seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
