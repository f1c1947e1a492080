//! Lines for people.

use super::{Tick, counted, hits};
use crate::{bpf::Attached, compile::Image, conf::ConfFile};
use ntpguard_common::Action;

pub(super) fn attached(interface: &str, attached: &Attached) -> String {
    let Attached { mode, fallback } = attached;
    let line = format!("guarding {interface}, {} XDP", mode.name());
    match fallback {
        Some(why) => format!("{line}, at several times the cost of native, since {why}"),
        None => line,
    }
}

pub(super) fn tick(tick: &Tick<'_>) -> String {
    let rate = |packets| format!("{:.0}/s", tick.rate(packets));
    let reasons: Vec<_> = counted(&tick.since)
        .filter(|(reason, _)| reason.action() == Action::Drop)
        .map(|(reason, counter)| format!("{} {}", reason.name(), rate(counter.packets)))
        .collect();
    format!(
        "passed {:>10}   dropped {:>10}   since start {} passed, {} dropped{}{}",
        rate(tick.since.total(Action::Pass).packets),
        rate(tick.since.total(Action::Drop).packets),
        tick.total.total(Action::Pass).packets,
        tick.total.total(Action::Drop).packets,
        if reasons.is_empty() { "" } else { "   " },
        reasons.join(", "),
    )
}

pub(super) fn totals(tick: &Tick<'_>, conf: &ConfFile, image: &Image) -> String {
    let mut lines = vec![format!("detached after {:.1} s", tick.elapsed.as_secs_f64())];
    for (action, verb) in [(Action::Pass, "passed"), (Action::Drop, "dropped")] {
        let all = tick.total.total(action);
        lines.push(format!("{verb} {} packets, {} bytes", all.packets, all.bytes));
        for (reason, counter) in counted(tick.total).filter(|(reason, _)| reason.action() == action) {
            lines.push(format!("  {:<18}{:>12}  {}", reason.name(), counter.packets, reason.summary()));
        }
    }
    if hits(image, tick.total).next().is_some() {
        lines.push("dropped by line".to_owned());
    }
    for (rule, cause, hits) in hits(image, tick.total) {
        // No flag without a line: the built-in entries have none.
        if let Some(line) = rule.cause(cause) {
            let place = conf.show(line.place);
            lines.push(format!("  {:<18}{:>12}  {place}: {}", cause.name(), hits.packets, line.text));
        }
    }
    lines.join("\n")
}
