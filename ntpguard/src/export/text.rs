//! Lines for people.

use super::{ACTIONS, Tick, counted};
use crate::{bpf::Attached, feed::Sources, sketch::Heavy, tracked::Tracked};
use ntpguard_common::Action;
use std::iter;

/// The width of a terminal.
const COLUMNS: usize = 80;

pub(super) fn attached(interface: &str, attached: &Attached) -> String {
    let Attached { how, fallback, taken_over, .. } = attached;
    let again = if *taken_over { ", taken over without a gap" } else { "" };
    let line = format!("guarding {interface}, {how}{again}");
    match fallback {
        Some(why) => line + &folded(&format!("at several times the cost of native, since {why}")),
        None => line,
    }
}

/// Words in lines of their own, indented, none longer than [`COLUMNS`] unless a word is.
fn folded(words: &str) -> String {
    let mut text = String::new();
    let mut length = COLUMNS;
    for word in words.split_whitespace() {
        let columns = word.chars().count();
        if length + 1 + columns > COLUMNS {
            text.push_str("\n ");
            length = 1;
        }
        text.push(' ');
        text.push_str(word);
        length += 1 + columns;
    }
    text
}

pub(super) fn tick(tick: &Tick<'_>) -> String {
    let rate = |packets: u64| format!("{:.0}/s", tick.rate(packets).unwrap_or_default());
    let reasons: Vec<_> = counted(&tick.since)
        .filter(|(reason, _)| reason.action() != Action::Pass)
        .map(|(reason, counter)| format!("{} {}", reason.name(), rate(counter.packets)))
        .collect();
    let tracked = tick.tracked.as_ref().map(|tracked| {
        let most = most(tracked, rate, 3).join(", ");
        let most = if most.is_empty() { most } else { format!("   limited most: {most}") };
        format!("   sources {} ({:.1} %){most}", tracked.sources, tracked.load())
    });
    format!(
        "passed {:>10}   dropped {:>10}   since start {} passed, {} dropped{}{}{}",
        rate(tick.since.total(Action::Pass).packets),
        rate(tick.since.total(Action::Drop).packets),
        tick.total.total(Action::Pass).packets,
        tick.total.total(Action::Drop).packets,
        if reasons.is_empty() { "" } else { "   " },
        reasons.join(", "),
        tracked.unwrap_or_default(),
    )
}

pub(super) fn totals(tick: &Tick<'_>, stays: bool) -> String {
    let seconds = tick.elapsed.as_secs_f64();
    let mut lines = vec![if stays {
        format!("still guarding, after {seconds:.1} s; `ntpguard detach --all` ends that")
    } else {
        format!("detached after {seconds:.1} s")
    }];
    for (action, verb) in ACTIONS {
        let all = tick.total.total(action);
        if action == Action::Transmit && all.packets == 0 {
            continue;
        }
        lines.push(format!("{verb} {} packets, {} bytes", all.packets, all.bytes));
        for (reason, counter) in counted(tick.total).filter(|(reason, _)| reason.action() == action) {
            lines.push(format!("  {:<18}{:>12}  {}", reason.name(), counter.packets, reason.summary()));
        }
    }
    if tick.total.seats.len() > 1 {
        lines.extend(tick.interfaces().map(|(name, total, _)| {
            let [passed, dropped] = [Action::Pass, Action::Drop].map(|action| total.total(action).packets);
            format!("on {name}: {passed} passed, {dropped} dropped")
        }));
    }
    lines.extend(tick.tracked.iter().flat_map(sources));
    if tick.hits().next().is_some() {
        lines.push("dropped or answered by line".to_owned());
    }
    for hit in tick.hits() {
        // No flag without a line: the built-in entries have none.
        if let Some(cause) = hit.cause {
            lines.push(format!("  {:<18}{:>12}  {cause}", hit.reason.name(), hit.counter.packets));
        }
    }
    lines.join("\n")
}

/// Who is remembered, and who was limited most.
pub(super) fn sources(tracked: &Tracked) -> Vec<String> {
    let Tracked { sources, places, known, .. } = tracked;
    let mut lines = vec![format!("{sources} sources remembered in {places} places, {known} of them known")];
    let most = most(tracked, |packets| packets.to_string(), usize::MAX);
    lines.extend(most.iter().map(|one| format!("  limited {one}")));
    lines
}

/// Who was dropped most, by samples; or why nobody knows.
pub(super) fn dropped(dropped: &Result<Sources, String>, now: u64) -> Vec<String> {
    let Sources { since, most, .. } = match dropped {
        Ok(sources) => sources,
        Err(why) => return vec![format!("dropped most: {why}")],
    };
    let head = format!("dropped most, by samples of the last {} s", now.saturating_sub(*since));
    let one = |Heavy { key, seen, missed }: &Heavy<_>| {
        let more = if *missed > 0 { format!(", or up to {missed} more") } else { String::new() };
        format!("  dropped {key} {seen}{more}")
    };
    iter::once(head).chain(most.iter().map(one)).collect()
}

/// Who was limited most, so many of them.
fn most(tracked: &Tracked, packets: impl Fn(u64) -> String, count: usize) -> Vec<String> {
    let one = |(source, limited): &(_, u64)| format!("{source} {}", packets(*limited));
    tracked.limited.iter().take(count).map(one).collect()
}
