//! JSON output, one object per line. Fields are added, never renamed.

use super::tick::{ACTIONS, Hit, Tick, counted};
use crate::{
    bpf::{
        Attached,
        snapshot::{Counts, Snapshot},
    },
    observe::{feed::DroppedSources, limited::Tracked, sketch::Heavy},
};
use ntpguard_common::{Reason, abi::Counter};
use serde_json::{Map, Value, json};
use std::net::IpAddr;

pub(super) fn attached(interface: &str, attached: &Attached) -> String {
    let Attached { how, fallback, taken_over, .. } = attached;
    json!({ "event": "attached", "interface": interface, "hook": how.hook().name(), "mode": how.mode(),
        "fallback": fallback, "taken_over": taken_over })
    .to_string()
}

/// Totals, and rates in the tick's span; every reason is included, even those that counted nothing.
pub(super) fn counters(event: &str, tick: &Tick<'_>) -> Value {
    let interfaces: Vec<_> = tick
        .interfaces()
        .map(|(name, total, since)| {
            let reasons = moved(tick, &total.done, &since.done);
            let trial = moved(tick, &total.trial, &since.trial);
            let mut interface = actions(tick, &total, &since);
            interface.extend(
                [("interface", name.into()), ("reasons", reasons), ("trial_reasons", trial)]
                    .map(|(name, value)| (name.to_owned(), value)),
            );
            interface
        })
        .collect();
    let mut counters = actions(tick, tick.total, &tick.since);
    let all = reasons(tick, Reason::ALL.iter().copied(), &tick.total.done, &tick.since.done);
    counters.extend(
        [
            ("event", event.into()),
            ("seconds", tick.elapsed.as_secs_f64().into()),
            ("monitor", tick.trial.into()),
            ("limits", tick.tracked.as_ref().map(tracked).into()),
            ("reasons", all),
            ("trial_reasons", moved(tick, &tick.total.trial, &tick.since.trial)),
            ("interfaces", interfaces.into()),
            ("rules", tick.hits().map(hit).collect()),
            ("trial_rules", tick.would_hits().map(hit).collect()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    counters.into()
}

/// What was passed, dropped and answered, and what would have been dropped.
fn actions(tick: &Tick<'_>, total: &Snapshot, since: &Snapshot) -> Map<String, Value> {
    let both = |action| counter(tick, total.total(action), since.total(action));
    let mut all: Map<_, _> = ACTIONS.iter().map(|&(action, name)| (name.to_owned(), both(action))).collect();
    all.insert("would_drop".to_owned(), counter(tick, total.would_drop(), since.would_drop()));
    all
}

/// The reasons that have counted something.
fn moved(tick: &Tick<'_>, total: &Counts, since: &Counts) -> Value {
    reasons(tick, counted(total).map(|(reason, _)| reason), total, since)
}

fn reasons(tick: &Tick<'_>, which: impl Iterator<Item = Reason>, total: &Counts, since: &Counts) -> Value {
    let both = |reason| counter(tick, total.of(reason), since.of(reason));
    which.map(|reason| (reason.name().to_owned(), both(reason))).collect::<Map<_, _>>().into()
}

fn counter(tick: &Tick<'_>, total: Counter, since: Counter) -> Value {
    json!({ "packets": total.packets, "bytes": total.bytes, "share": tick.share(total.packets),
        "packets_per_second": tick.rate(since.packets), "bytes_per_second": tick.rate(since.bytes) })
}

/// How many sources are tracked, and which were limited most: in the span for `counters`, since the start for `totals`.
fn tracked(tracked: &Tracked) -> Value {
    let Tracked { sources, places, known, limited } = tracked;
    let limited: Vec<_> =
        limited.iter().map(|(source, packets)| json!({ "source": source, "packets": packets })).collect();
    json!({ "tracked": sources, "places": places, "known": known, "limited": limited })
}

/// The sources with most drops, by samples.
pub(super) fn dropped(dropped: &DroppedSources) -> Value {
    let DroppedSources { since, total, most, trial: _ } = dropped;
    let one = |Heavy { key, seen, missed }: &Heavy<IpAddr>| {
        json!({ "source": key, "packets": seen.packets, "bytes": seen.bytes, "samples": seen.samples,
            "error": seen.error(), "missed": missed })
    };
    json!({ "since": since, "packets": total.packets, "samples": total.samples, "sources": most.iter().map(one).collect::<Vec<_>>() })
}

/// The hits of one rule for one reason.
fn hit(hit: Hit<'_>) -> Value {
    let Hit { rule, reason, cause, counter } = hit;
    json!({
        "net": rule.net,
        "reason": reason.name(),
        "file": cause.map(|cause| cause.file),
        "line": cause.map(|cause| cause.line),
        "text": cause.map(|cause| cause.text),
        "packets": counter.packets,
        "bytes": counter.bytes,
    })
}
