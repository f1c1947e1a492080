//! The metrics, in one table: every scrape and docs/src/reference/metrics.md are made from it.
//!
//! The name in a row excludes what its kind and unit add to it (`_bytes`, `_total`).

use super::{Drawn, Hit, Live, MetricValues, Tracked};
use crate::{guard::reloads::Reloads, observe::life::Life};
use ntpguard_common::{Action, Reason, abi::Counter};
use prometheus_client::{metrics::MetricType, registry::Unit};
use std::time::{SystemTime, UNIX_EPOCH};

/// The values of the labels, in the order of the family's labels, each with what was counted or measured.
pub(super) type Samples<T> = Vec<(Vec<String>, T)>;

/// How the samples are taken from a reading.
pub(super) enum Kind {
    Counter(fn(&MetricValues) -> Samples<u64>),
    Gauge(fn(&MetricValues) -> Samples<f64>),
}

use Kind::{Counter as Count, Gauge};

/// A family of metrics.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) unit: Option<Unit>,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

const OF_REASON: &[&str] = &["interface", "reason", "action"];
const OF_LINE: &[&str] = &["file", "line", "reason"];
const OF_TRIAL: &[&str] = &["interface", "reason"];

/// All metrics.
pub(super) const FAMILIES: &[Family] = &[
    family(
        "ntpguard_packets",
        Count(|it| reasons(it, |counter| counter.packets)),
        OF_REASON,
        "Packets to UDP port 123, by what became of them (pass, drop, or kiss: answered with a kiss-o'-death) and why; what a trial lets pass is counted apart (ntpguard_trial_packets_total)",
    ),
    bytes(
        "ntpguard",
        Count(|it| reasons(it, |counter| counter.bytes)),
        OF_REASON,
        "Bytes of these packets, as whole frames",
    ),
    family(
        "ntpguard_line_packets",
        Count(|it| lines(&it.lines, |counter| counter.packets)),
        OF_LINE,
        "Packets dropped or answered on account of a line of ntp.conf: the 200 lines with most hits, and the rest under line=\"other\"",
    ),
    bytes(
        "ntpguard_line",
        Count(|it| lines(&it.lines, |counter| counter.bytes)),
        OF_LINE,
        "Bytes of these packets",
    ),
    family(
        "ntpguard_trial_packets",
        Count(|it| would(it, |counter| counter.packets)),
        OF_TRIAL,
        "Packets that passed in a trial (--monitor) and would have been dropped, by why; in no other metric of packets",
    ),
    bytes(
        "ntpguard_trial",
        Count(|it| would(it, |counter| counter.bytes)),
        OF_TRIAL,
        "Bytes of these packets, as whole frames",
    ),
    family(
        "ntpguard_trial_line_packets",
        Count(|it| lines(&it.would_lines, |counter| counter.packets)),
        OF_LINE,
        "Packets that passed in a trial and would have been dropped on account of a line of ntp.conf; lines as in ntpguard_line_packets_total",
    ),
    bytes(
        "ntpguard_trial_line",
        Count(|it| lines(&it.would_lines, |counter| counter.bytes)),
        OF_LINE,
        "Bytes of these packets",
    ),
    family(
        "ntpguard_interface_guarded",
        Gauge(guarded),
        &["interface"],
        "1 if the filter runs on the interface, as what the interface received and the filter saw shows; 0 if the filter saw none of a hundred frames or more, on the whole interface or on one of its receive queues, and while the interface is gone or can't be attached to; NaN while too few frames come in to tell",
    ),
    family(
        "ntpguard_tracked_sources",
        Gauge(|it| tracked(it, |tracked| tracked.sources)),
        &[],
        "Sources that the limiter remembers; absent if the policy limits nobody",
    ),
    family(
        "ntpguard_table_places",
        Gauge(|it| tracked(it, |tracked| tracked.places)),
        &[],
        "Places for them (--sources)",
    ),
    family(
        "ntpguard_known_sources",
        Gauge(|it| tracked(it, |tracked| tracked.known)),
        &[],
        "Sources heard before, which --max-rate prefers",
    ),
    family(
        "ntpguard_policy_generation",
        Gauge(|it| one(it.generation)),
        &[],
        "The number of the policy in force; each change has another one",
    ),
    family("ntpguard_policy_rules", Gauge(|it| one(it.rules as u32)), &[], "Rules of the policy in force"),
    family(
        "ntpguard_trial",
        Gauge(|it| one(it.trial)),
        &[],
        "1 during a trial (--monitor): everything passes, and what would be dropped is counted apart",
    ),
    family(
        "ntpguard_reloads",
        Count(reloads),
        &["result"],
        "Attempts to read ntp.conf again since the process began: success or failure",
    ),
    family(
        "ntpguard_last_reload_successful",
        Gauge(|it| one(!it.reloads.failing)),
        &[],
        "1 if the last attempt succeeded, or there was none; 0 if the policy before it is still in force",
    ),
    seconds(
        "ntpguard_last_reload_success_timestamp",
        |it| time(it.reloads.last_success),
        "When ntp.conf was last read and put in force, since 1970",
    ),
    family(
        "ntpguard_events",
        Count(events),
        &["result"],
        "Drops drawn for `ntpguard events`: told, or lost because the rate (--event-rate) or the ring had no room for more; their number says nothing of how many drops there were",
    ),
    family(
        "ntpguard_names",
        Gauge(|it| one(it.names.all as u32)),
        &[],
        "Names in ntp.conf that are looked up",
    ),
    family(
        "ntpguard_names_failing",
        Gauge(|it| one(it.names.failing as u32)),
        &[],
        "Names that had no answer when they were looked up last; the answer before stays in force",
    ),
    family(
        "ntpguard_configured_associations",
        Gauge(associations),
        &["keyword"],
        "Lines of ntp.conf that set up associations, by their first word; whether the daemon uses them isn't known here",
    ),
    family(
        "ntpguard_associations",
        Gauge(|it| live(it, |live| live.associations as f64)),
        &[],
        "The daemon's live associations, learnt from what it sends; this metric and the four below are absent if no line `restrict source` is in force",
    ),
    family(
        "ntpguard_association_packets",
        Count(|it| live(it, |live| live.packets)),
        &[],
        "Packets that came from a live association, and so were judged by `restrict source`",
    ),
    family(
        "ntpguard_association_unknown_packets",
        Count(|it| live(it, |live| live.unknown)),
        &[],
        "Packets that came from an address of which it wasn't known whether it is an association's: only what both of its entries refuse was dropped",
    ),
    family(
        "ntpguard_association_full",
        Count(|it| live(it, |live| live.full)),
        &[],
        "Packets that left and found no place in the table of associations",
    ),
    seconds(
        "ntpguard_association_open",
        |it| live(it, |live| live.open),
        "For how much longer any address may be an association's, since not all are known; 0 if all are, and infinite if they can't be known",
    ),
    seconds(
        "ntpguard_read_timestamp",
        |it| time(it.now),
        "When the counters were read, since 1970: every 5 s, or every --interval if that is less",
    ),
    family("ntpguard_build_info", Gauge(build), &["version"], "1, under the version that runs"),
    seconds(
        "process_start_time",
        |it| time(it.start),
        "When the process began, since 1970; what is counted of packets may be older, since a pinned filter goes on counting",
    ),
];

const fn family(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
) -> Family {
    Family { name, unit: None, kind, labels, help }
}

const fn bytes(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
) -> Family {
    Family { name, unit: Some(Unit::Bytes), kind, labels, help }
}

const fn seconds(
    name: &'static str,
    samples: fn(&MetricValues) -> Samples<f64>,
    help: &'static str,
) -> Family {
    Family { name, unit: Some(Unit::Seconds), kind: Gauge(samples), labels: &[], help }
}

fn reasons(reading: &MetricValues, value: fn(&Counter) -> u64) -> Samples<u64> {
    let sample = |name: &String, reason: Reason, counter: &Counter| {
        let action = match reason.action() {
            Action::Pass => "pass",
            Action::Drop => "drop",
            Action::Transmit => "kiss",
        };
        (vec![name.clone(), reason.name().to_owned(), action.to_owned()], value(counter))
    };
    let all = reading.interfaces.iter();
    all.flat_map(|(name, counters)| {
        Reason::ALL.iter().zip(counters).map(move |(reason, counter)| sample(name, *reason, counter))
    })
    .collect()
}

/// Trials count only drops, so the action isn't a label.
fn would(reading: &MetricValues, value: fn(&Counter) -> u64) -> Samples<u64> {
    let drops = |(reason, _): &(&Reason, &Counter)| reason.action() == Action::Drop;
    let all = reading.would.iter().flat_map(|(name, counters)| {
        let drops = Reason::ALL.iter().zip(counters).filter(drops);
        drops.map(move |(reason, counter)| (vec![name.clone(), reason.name().to_owned()], value(counter)))
    });
    all.collect()
}

fn lines(hits: &[Hit], value: fn(&Counter) -> u64) -> Samples<u64> {
    let sample = |Hit { file, line, reason, counter }: &Hit| {
        (vec![file.clone(), line.clone(), reason.name().to_owned()], value(counter))
    };
    hits.iter().map(sample).collect()
}

fn guarded(reading: &MetricValues) -> Samples<f64> {
    let value = |life: &Life| match life {
        Life::Runs => 1.0,
        Life::NotRun => 0.0,
        Life::Unknown => f64::NAN,
    };
    reading.guarded.iter().map(|(name, life)| (vec![name.clone()], value(life))).collect()
}

fn tracked(reading: &MetricValues, value: fn(&Tracked) -> usize) -> Samples<f64> {
    reading.tracked.iter().map(|tracked| (Vec::new(), value(tracked) as f64)).collect()
}

fn live<T>(reading: &MetricValues, value: fn(&Live) -> T) -> Samples<T> {
    reading.live.iter().map(|live| (Vec::new(), value(live))).collect()
}

fn reloads(reading: &MetricValues) -> Samples<u64> {
    let Reloads { succeeded, failed, failing: _, last_success: _ } = reading.reloads;
    by_result([("success", succeeded), ("failure", failed)])
}

fn events(reading: &MetricValues) -> Samples<u64> {
    let Some(Drawn { told, lost_rate, lost_ring }) = reading.events else { return Vec::new() };
    by_result([("told", told), ("lost_rate", lost_rate), ("lost_ring", lost_ring)])
}

fn by_result<const COUNT: usize>(results: [(&str, u64); COUNT]) -> Samples<u64> {
    results.map(|(result, count)| (vec![result.to_owned()], count)).into()
}

fn associations(reading: &MetricValues) -> Samples<f64> {
    reading.associations.iter().map(|(keyword, lines)| (vec![keyword.clone()], *lines as f64)).collect()
}

fn build(_: &MetricValues) -> Samples<f64> {
    vec![(vec![env!("CARGO_PKG_VERSION").to_owned()], 1.0)]
}

fn one(value: impl Into<f64>) -> Samples<f64> {
    vec![(Vec::new(), value.into())]
}

fn time(time: SystemTime) -> Samples<f64> {
    one(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64())
}

impl Family {
    /// Its Prometheus type.
    pub(super) const fn kind(&self) -> MetricType {
        match self.kind {
            Count(_) => MetricType::Counter,
            Gauge(_) => MetricType::Gauge,
        }
    }

    /// The full name that its samples have.
    fn full_name(&self) -> String {
        let unit = self.unit.as_ref().map(|unit| format!("_{}", unit.as_str())).unwrap_or_default();
        let total = if matches!(self.kind, Count(_)) { "_total" } else { "" };
        format!("{}{unit}{total}", self.name)
    }
}

/// The table in docs/src/reference/metrics.md.
pub fn table() -> String {
    let row = |family: &Family| {
        let unit = family.unit.as_ref().map_or("number", Unit::as_str);
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, labels) = (family.full_name(), family.kind(), labels.join(", "));
        format!("| `{name}` | {} | {unit} | {labels} | {} |\n", kind.as_str(), family.help)
    };
    "| metric | kind | unit | labels | meaning |\n|---|---|---|---|---|\n".to_owned()
        + &FAMILIES.iter().map(row).collect::<String>()
}
