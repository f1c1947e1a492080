//! One JSON object a line. Fields are added, never renamed.

use super::{Tick, hits};
use crate::{bpf::Attached, compile::ImageRule, conf::ConfFile, ruling::Ruling, tracked::Tracked};
use ntpguard_common::{Action, Reason, abi::Counter};
use serde_json::{Map, Value, json};

pub(super) fn attached(interface: &str, attached: &Attached) -> String {
    let Attached { how, fallback, taken_over } = attached;
    json!({ "event": "attached", "interface": interface, "hook": how.hook().name(), "mode": how.mode(),
        "fallback": fallback, "taken_over": taken_over })
    .to_string()
}

/// Totals since the start, and rates in the span; every reason is there, also those that counted nothing.
pub(super) fn counters(event: &str, tick: &Tick<'_>, ruling: &Ruling) -> String {
    let both = |total: Counter, since: Counter| {
        let rate = tick.rate(since.packets);
        json!({ "packets": total.packets, "bytes": total.bytes, "packets_per_second": rate })
    };
    let action = |action| both(tick.total.total(action), tick.since.total(action));
    let reasons: Map<String, Value> = Reason::ALL
        .iter()
        .map(|&reason| (reason.name().to_owned(), both(tick.total.of(reason), tick.since.of(reason))))
        .collect();
    let interfaces: Vec<_> = tick
        .interfaces()
        .map(|(name, total, since)| {
            let action = |action| both(total.total(action), since.total(action));
            let reasons: Map<String, Value> = super::counted(&total)
                .map(|(reason, counter)| (reason.name().to_owned(), both(counter, since.of(reason))))
                .collect();
            json!({ "interface": name, "passed": action(Action::Pass), "dropped": action(Action::Drop),
                "answered": action(Action::Transmit), "reasons": reasons })
        })
        .collect();
    let rules: Vec<_> = hits(&ruling.image, tick.total)
        .map(|(rule, cause, hits)| hit(rule, cause, hits, &ruling.conf))
        .collect();
    json!({
        "event": event,
        "seconds": tick.elapsed.as_secs_f64(),
        "passed": action(Action::Pass),
        "dropped": action(Action::Drop),
        "answered": action(Action::Transmit),
        "limits": tick.tracked.as_ref().map(tracked),
        "reasons": reasons,
        "interfaces": interfaces,
        "rules": rules,
    })
    .to_string()
}

/// Who is remembered, and who was limited most: in the span, in `totals` since the start.
fn tracked(tracked: &Tracked) -> Value {
    let Tracked { sources, places, known, limited } = tracked;
    let limited: Vec<_> =
        limited.iter().map(|(source, packets)| json!({ "source": source, "packets": packets })).collect();
    json!({ "tracked": sources, "places": places, "known": known, "limited": limited })
}

/// Drops by one line's flag.
fn hit(rule: &ImageRule, cause: Reason, hits: Counter, conf: &ConfFile) -> Value {
    let line = rule.cause(cause);
    json!({
        "net": rule.net.to_string(),
        "reason": cause.name(),
        "file": line.map(|line| conf.files[line.place.file].path.display().to_string()),
        "line": line.map(|line| line.place.span.line),
        "text": line.map(|line| line.text.as_str()),
        "packets": hits.packets,
        "bytes": hits.bytes,
    })
}
