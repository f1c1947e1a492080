//! Budgets: limits on what ntpguard may cost, and whether they are met.
//!
//! Contract: a limit that wasn't measured is reported as such, and never counts as met.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The quantity that a limit applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is told in `BUDGETS`")]
pub enum Id {
    Monlist,
    Readvar,
    Other,
    Ignored1000,
    IgnoredMillion,
    MillionToTen,
    ColdToTrie,
    Allowed,
    Limited,
    NewSource,
    XdpFilterQuery,
    XdpFilterSource,
    LiveShare,
    LiveToNft,
    InstallTime,
    InstallMemory,
    InstallMaps,
    ClockOffset,
}

/// On which side of its limit a value has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    AtMost,
    AtLeast,
}

use Side::{AtLeast, AtMost};

/// All limits: what is measured, the side, the limit and its unit.
const BUDGETS: &[(Id, &str, Side, f64, &str)] = &[
    (Id::Monlist, "monlist dropped, nobody may query, over a bare drop", AtMost, 10.0, "ns"),
    (Id::Readvar, "readvar dropped, nobody may query, over a bare drop", AtMost, 10.0, "ns"),
    (Id::Other, "UDP to another port, over a bare drop", AtMost, 6.0, "ns"),
    (Id::Ignored1000, "ignored source, 1,000 rules, over a bare drop", AtMost, 25.0, "ns"),
    (Id::IgnoredMillion, "ignored source, 1,000,000 rules, hot, over a bare drop", AtMost, 40.0, "ns"),
    (Id::MillionToTen, "ignored source, hot: 1,000,000 rules to 10", AtMost, 1.5, "×"),
    (Id::ColdToTrie, "ignored sources, 1,000,000 rules, cold: to the kernel's trie", AtMost, 1.0 / 3.0, "×"),
    (Id::Allowed, "allowed mode 3, not `limited`, over a bare drop", AtMost, 25.0, "ns"),
    (Id::Limited, "a source over its limit, live frames, over a bare drop", AtMost, 60.0, "ns"),
    (Id::NewSource, "a source that is new, live frames, over a bare drop", AtMost, 120.0, "ns"),
    (Id::XdpFilterQuery, "monlist: to xdp-filter with port 123 and 100 addresses", AtMost, 0.25, "×"),
    (Id::XdpFilterSource, "ignored source: to xdp-filter with the same 100 addresses", AtMost, 0.25, "×"),
    (Id::LiveShare, "monlist flood over veth: rate to that of a bare drop", AtLeast, 0.95, "×"),
    (Id::LiveToNft, "monlist flood over veth: receiving to nftables ingress", AtMost, 1.0 / 6.0, "×"),
    (Id::InstallTime, "1,000,000 rules: compile and install", AtMost, 2.0, "s"),
    (Id::InstallMemory, "1,000,000 rules: memory of the process", AtMost, 256.0, "MB"),
    (Id::InstallMaps, "1,000,000 rules: memory of the kernel's maps", AtMost, 256.0, "MB"),
    (Id::ClockOffset, "a client's offset, with the guard to without", AtMost, 1.0, "µs"),
];

/// A limit, with the value that was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// What is measured.
    pub what: &'static str,
    /// The limit.
    pub limit: f64,
    /// Whether the value has to be at least the limit.
    pub at_least: bool,
    /// The unit of the limit and the value.
    pub unit: &'static str,
    /// The measured value; `None` if it wasn't measured.
    pub value: Option<f64>,
}

impl Outcome {
    /// Whether the limit is met; `None` if it wasn't measured.
    pub fn kept(&self) -> Option<bool> {
        let Self { limit, at_least, value, .. } = *self;
        value.map(|value| if at_least { value >= limit } else { value <= limit })
    }

    /// The outcome as a word.
    pub fn word(&self) -> &'static str {
        match self.kept() {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "not measured",
        }
    }

    /// The outcome as JSON.
    pub fn json(&self) -> Value {
        let Self { what, limit, at_least, unit, value } = self;
        json!({
            "what": what,
            "limit": limit,
            "side": if *at_least { "at least" } else { "at most" },
            "unit": unit,
            "value": value,
            "met": self.kept(),
        })
    }
}

/// All limits, with the values that were found.
pub fn outcomes(found: &BTreeMap<Id, f64>) -> Vec<Outcome> {
    let outcome = |&(id, what, side, limit, unit): &(Id, &'static str, Side, f64, &'static str)| Outcome {
        what,
        limit,
        at_least: side == AtLeast,
        unit,
        value: found.get(&id).copied(),
    };
    BUDGETS.iter().map(outcome).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_kept_missed_or_not_measured() {
        let found = [(Id::Monlist, 10.0), (Id::Readvar, 10.1), (Id::LiveShare, 0.96)].into();
        let outcomes = outcomes(&found);
        let of = |start: &str| outcomes.iter().find(|outcome| outcome.what.starts_with(start)).unwrap();
        assert_eq!(of("monlist dropped").kept(), Some(true));
        assert_eq!(of("readvar").kept(), Some(false));
        assert_eq!(of("monlist flood over veth: rate").kept(), Some(true));
        assert_eq!(of("1,000,000 rules: memory").kept(), None);
        assert_eq!(of("1,000,000 rules: memory").json()["met"], Value::Null);
    }

    #[test]
    fn everything_has_one_limit() {
        let mut ids: Vec<_> = BUDGETS.iter().map(|budget| budget.0).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), BUDGETS.len());
        assert_eq!(ids.last(), Some(&Id::ClockOffset));
        assert_eq!(ids.len(), Id::ClockOffset as usize + 1);
    }
}
