//! What `ntpguard stats` prints: a table, or a JSON object (docs/src/reference/stats.md).

use super::{Tick, json, table, text};
use crate::{guard::state::InForce, observe::feed::DroppedSources};
use serde_json::{Value, json};

/// The content of the output.
pub struct Shown<'a> {
    /// The counters.
    pub tick: Tick<'a>,
    /// The generation of the policy in force.
    pub generation: u32,
    /// When the counters were reset, in seconds since 1970; `None` if they count from the beginning.
    pub since: Option<u64>,
    /// When the counters were read, in seconds since 1970.
    pub now: u64,
    /// Whether hits are shown.
    pub rules: bool,
    /// Why it is unknown which rules the hits belong to.
    pub unknown: Option<String>,
    /// The sources with most drops, if they were asked for, or why they are unknown.
    pub dropped: Option<Result<DroppedSources, String>>,
}

impl Shown<'_> {
    /// The output as text.
    pub fn text(&self) -> String {
        let Self { tick, generation, since, now, rules, unknown, dropped } = self;
        let mut lines = vec![match tick.policy {
            Some(policy) => policy.to_string(),
            None => format!("policy {generation}: nobody knows from which file"),
        }];
        if tick.trial {
            lines.push("a trial: everything passes, and what would be dropped is counted apart".to_owned());
        }
        lines.push(match since {
            Some(since) => format!("since the reset {} s ago", now.saturating_sub(*since)),
            None => "since the filter was attached first".to_owned(),
        });
        lines.extend(table::counters(tick));
        if let Some(why) = unknown.as_ref().filter(|_| *rules) {
            lines.push(format!("by line: {why}"));
        } else if *rules {
            lines.extend(table::rules(tick));
        }
        lines.extend(text::sources(tick));
        lines.extend(dropped.iter().flat_map(|dropped| text::dropped(dropped, *now)));
        lines.join("\n")
    }

    /// The output as a JSON object. Fields are added; renaming one requires another version.
    pub fn json(&self) -> Value {
        let Self { tick, generation, since, now, rules: _, unknown, dropped } = self;
        let mut object = json::counters("stats", tick);
        let known = |field: fn(&InForce) -> Value| tick.policy.map(field);
        object["version"] = 1.into();
        object["time"] = (*now).into();
        object["since"] = (*since).into();
        object["policy"] = json!({
            "number": generation,
            "rules": known(|policy| policy.rules.len().into()),
            "because": known(|policy| policy.because.as_str().into()),
            "since": known(|policy| policy.since.into()),
        });
        object["unknown"] = unknown.as_deref().into();
        let dropped = dropped.as_ref().and_then(|dropped| dropped.as_ref().ok());
        object["dropped_sources"] = dropped.map(json::dropped).into();
        let trial = dropped.and_then(|dropped| dropped.trial.as_deref());
        object["trial_sources"] = trial.map(json::dropped).into();
        if unknown.is_some() {
            (object["rules"], object["trial_rules"]) = (Value::Null, Value::Null);
        }
        object
    }
}
