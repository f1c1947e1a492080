//! Lines for people.

use super::{Tick, counted};
use crate::{
    bpf::{Attached, Mode},
    compile::Image,
    conf::ConfFile,
};
use ntpguard_common::Action;

pub(super) fn attached(interface: &str, attached: Attached) -> String {
    let Attached { mode, fallback } = attached;
    let why = match (mode, fallback) {
        (Mode::Generic, true) => ": its driver has no native XDP, so each packet costs several times as much",
        _ => "",
    };
    format!("guarding {interface}, {} XDP{why}", mode.name())
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
    let hits = image.rules.iter().zip(&tick.total.hits).filter(|(_, hits)| hits.packets > 0);
    for (rule, hits) in hits {
        let line = match rule.line() {
            Some(line) => format!("{}: {}", conf.show(line.place), line.text),
            None => format!("built-in default for {}", rule.net),
        };
        lines.push(format!("  {:<18}{:>12}  {line}", "by", hits.packets));
    }
    lines.join("\n")
}
