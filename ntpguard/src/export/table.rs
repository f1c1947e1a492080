//! The table of `ntpguard stats`.

use super::{
    text::WOULD_BY_LINE,
    tick::{ACTIONS, Hit, Tick, counted},
};
use crate::{bpf::snapshot::Snapshot, guard::state::Cause};
use ntpguard_common::{Action, abi::Counter};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

/// The table by reason: for all interfaces, and if there are several, for each.
pub(super) fn counters(tick: &Tick<'_>) -> Vec<String> {
    let rates = if tick.elapsed.is_zero() { "" } else { "   packets/s        bytes/s" };
    let mut lines = vec![format!("{:<22}{:>14}{:>17}{:>9}{rates}", "", "packets", "bytes", "share")];
    let interfaces: Vec<_> = tick.interfaces().collect();
    if interfaces.len() != 1 {
        lines.extend(block(tick, "all interfaces", tick.total, &tick.since));
    }
    lines.extend(interfaces.iter().flat_map(|(name, total, since)| block(tick, name, total, since)));
    lines
}

/// The rows for one interface, or for all.
fn block(tick: &Tick<'_>, name: &str, total: &Snapshot, since: &Snapshot) -> Vec<String> {
    let sum = |snapshot: &Snapshot| {
        let actions = ACTIONS.iter().map(|(action, _)| snapshot.total(*action));
        actions.chain([snapshot.would_drop()]).sum()
    };
    let mut lines = vec![row(tick, name, sum(total), sum(since))];
    for (action, verb) in ACTIONS {
        let all = total.total(action);
        // Kisses are few, and most guards send none.
        if action != Action::Transmit || all.packets > 0 {
            lines.push(row(tick, &format!("  {verb}"), all, since.total(action)));
        }
        for (reason, counter) in counted(&total.done).filter(|(reason, _)| reason.action() == action) {
            lines.push(row(tick, &format!("    {}", reason.name()), counter, since.of(reason)));
        }
    }
    let would = total.would_drop();
    if tick.trial || would.packets > 0 {
        lines.push(row(tick, "  would drop (trial)", would, since.would_drop()));
    }
    for (reason, counter) in counted(&total.trial) {
        lines.push(row(tick, &format!("    {}", reason.name()), counter, since.trial.of(reason)));
    }
    lines
}

fn row(tick: &Tick<'_>, name: &str, total: Counter, since: Counter) -> String {
    let Counter { packets, bytes } = total;
    let share = 100.0 * tick.share(packets).unwrap_or_default();
    let line = format!("{name:<22}{packets:>14}{bytes:>17}{share:>7.1} %");
    match tick.rate(since.packets).zip(tick.rate(since.bytes)) {
        Some((packets, bytes)) => format!("{line}{packets:>12.0}{bytes:>15.0}"),
        None => line,
    }
}

/// The table by line of ntp.conf, most hits first; the hits of all of a line's rules are added up.
pub(super) fn rules(tick: &Tick<'_>) -> Vec<String> {
    let mut seen: BTreeSet<Cause<'_>> = BTreeSet::new();
    let mut lines = vec!["dropped or answered by line".to_owned()];
    lines.extend(by_line(tick.hits(), &mut seen));
    let would = by_line(tick.would_hits(), &mut seen);
    if !would.is_empty() {
        lines.push(WOULD_BY_LINE.to_owned());
        lines.extend(would);
    }
    let all: BTreeSet<_> =
        tick.policy.into_iter().flat_map(|policy| policy.causes()).map(|(cause, _)| cause).collect();
    match all.difference(&seen).count() {
        0 => (),
        1 => lines.push("  1 more line could drop something, and has not".to_owned()),
        more => lines.push(format!("  {more} more lines could drop something, and have not")),
    }
    lines
}

/// Rows of hits, most first; adds their lines to `seen`.
fn by_line<'a>(hits: impl Iterator<Item = Hit<'a>>, seen: &mut BTreeSet<Cause<'a>>) -> Vec<String> {
    let mut sums: BTreeMap<(&str, String), Counter> = BTreeMap::new();
    for hit in hits {
        seen.extend(hit.cause);
        let blamed = hit.cause.map_or_else(
            || format!("{}: no line (built in, or not written down)", hit.rule.net),
            |cause| cause.to_string().replace(char::is_control, "\u{fffd}"),
        );
        let sum = sums.entry((hit.reason.name(), blamed)).or_default();
        *sum = [*sum, hit.counter].into_iter().sum();
    }
    let mut rows: Vec<_> = sums.into_iter().collect();
    rows.sort_by_key(|(_, counter)| Reverse(counter.packets));
    let row = |((reason, blamed), Counter { packets, bytes }): &((&str, String), Counter)| {
        format!("  {reason:<20}{packets:>14}{bytes:>17}  {blamed}")
    };
    rows.iter().map(row).collect()
}
