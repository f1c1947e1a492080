//! Text output for people.

use super::tick::{ACTIONS, Hit, Tick, counted};
use crate::{
    bpf::Attached,
    observe::{feed::DroppedSources, limited::Tracked, sketch::Heavy},
};
use ntpguard_common::{Action, Reason, abi::Counter};
use std::iter;

/// The heading above the hits of trials.
pub(super) const WOULD_BY_LINE: &str = "would be dropped by line (trial)";

pub(super) fn attached(interface: &str, attached: &Attached) -> String {
    let Attached { how, fallback, taken_over, .. } = attached;
    let again = if *taken_over { ", taken over without a gap" } else { "" };
    let line = format!("guarding {interface}, {how}{again}");
    match fallback {
        Some(why) => format!("{line}\n  at several times the cost of native, since {why}"),
        None => line,
    }
}

pub(super) fn tick(tick: &Tick<'_>) -> String {
    let rate = |packets: u64| format!("{:.0}/s", tick.rate(packets).unwrap_or_default());
    let refused = |counts| counted(counts).filter(|(reason, _)| reason.action() != Action::Pass);
    let named = |(reason, counter): (Reason, Counter)| format!("{} {}", reason.name(), rate(counter.packets));
    let trial = refused(&tick.since.trial).map(|of| named(of) + " (trial)");
    let reasons: Vec<_> = refused(&tick.since.done).map(named).chain(trial).collect();
    let would = tick.since.would_drop().packets;
    let would =
        if tick.trial || would > 0 { format!("   would drop {:>10}", rate(would)) } else { String::new() };
    let tracked = tick.tracked.as_ref().map(|tracked| {
        let most = most(tracked, rate, 3).join(", ");
        let most = if most.is_empty() { most } else { format!("   limited most: {most}") };
        format!("   sources {} ({:.1} %){most}", tracked.sources, tracked.load())
    });
    format!(
        "{}passed {:>10}   dropped {:>10}{would}   since start {} passed, {} dropped{}{}{}{}",
        if tick.trial { "trial: " } else { "" },
        rate(tick.since.total(Action::Pass).packets),
        rate(tick.since.total(Action::Drop).packets),
        tick.total.total(Action::Pass).packets,
        tick.total.total(Action::Drop).packets,
        trial_part(tick, tick.total.would_drop().packets),
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
        let reasons = counted(&tick.total.done).filter(|(reason, _)| reason.action() == action);
        lines.extend(reasons.map(reason));
    }
    let would = tick.total.would_drop();
    if would.packets > 0 {
        let Counter { packets, bytes } = would;
        lines.push(format!("would have dropped {packets} packets, {bytes} bytes, which passed in a trial"));
        lines.extend(counted(&tick.total.trial).map(reason));
    }
    if tick.total.rows().len() > 1 {
        lines.extend(tick.interfaces().map(|(name, total, _)| {
            let [passed, dropped] = [Action::Pass, Action::Drop].map(|action| total.total(action).packets);
            let would = trial_part(tick, total.would_drop().packets);
            format!("on {name}: {passed} passed, {dropped} dropped{would}")
        }));
    }
    lines.extend(sources(tick));
    lines.extend(by_line("dropped or answered by line", tick.hits()));
    lines.extend(by_line(WOULD_BY_LINE, tick.would_hits()));
    lines.join("\n")
}

fn reason((reason, counter): (Reason, Counter)) -> String {
    format!("  {:<18}{:>12}  {}", reason.name(), counter.packets, reason.summary())
}

fn by_line<'a>(title: &str, hits: impl Iterator<Item = Hit<'a>>) -> Vec<String> {
    let mut hits = hits.peekable();
    let title = hits.peek().is_some().then(|| title.to_owned());
    // A hit without a line is one of a built-in entry, and isn't shown.
    let line = |hit: Hit<'a>| {
        Some(format!("  {:<18}{:>12}  {}", hit.reason.name(), hit.counter.packets, hit.cause?))
    };
    title.into_iter().chain(hits.filter_map(line)).collect()
}

/// The addition about trials, if there is or was one.
fn trial_part(tick: &Tick<'_>, would: u64) -> String {
    if tick.trial || would > 0 { format!(", {would} would be dropped (trial)") } else { String::new() }
}

/// How many sources are tracked, and which were limited most.
pub(super) fn sources(tick: &Tick<'_>) -> Vec<String> {
    let Some(tracked) = &tick.tracked else { return Vec::new() };
    let Tracked { sources, places, known, .. } = tracked;
    let mut lines = vec![format!("{sources} sources remembered in {places} places, {known} of them known")];
    let most = most(tracked, |packets| packets.to_string(), usize::MAX);
    // The table of sources doesn't count trials apart: every packet that is limited would pay for that.
    let trial = tick.total.trial.of(Reason::Limited).packets > 0;
    let trial = if trial { " (trials included)" } else { "" };
    lines.extend(most.iter().map(|one| format!("  limited {one}{trial}")));
    lines
}

/// The sources with most drops, by samples, or why they are unknown.
pub(super) fn dropped(dropped: &Result<DroppedSources, String>, now: u64) -> Vec<String> {
    let sources = match dropped {
        Ok(sources) => sources,
        Err(why) => return vec![format!("dropped most: {why}")],
    };
    let mut lines = heaviest("dropped", sources, now);
    lines.extend(sources.trial.iter().flat_map(|trial| heaviest("would drop (trial)", trial, now)));
    lines
}

fn heaviest(verb: &str, DroppedSources { since, most, .. }: &DroppedSources, now: u64) -> Vec<String> {
    let head = format!("{verb} most, by samples of the last {} s", now.saturating_sub(*since));
    let one = |Heavy { key, seen, missed }: &Heavy<_>| {
        let more = if *missed > 0 { format!(", or up to {missed} more") } else { String::new() };
        format!("  {verb} {key} {seen}{more}")
    };
    iter::once(head).chain(most.iter().map(one)).collect()
}

/// The `count` sources that were limited most.
fn most(tracked: &Tracked, packets: impl Fn(u64) -> String, count: usize) -> Vec<String> {
    let one = |(source, limited): &(_, u64)| format!("{source} {}", packets(*limited));
    tracked.limited.iter().take(count).map(one).collect()
}
