//! The rows of a pane, filtered and sorted. Each has a subject, by which it is found again when others overtake it.

use super::{
    data::{Data, Rule},
    sources::Source,
    words::{clean, clock, grouped, percent, place, rate},
};
use crate::observe::event::{Blamed, Event};
use ntpguard_common::{Action, Reason};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

/// The maximum number of sources that are listed: more than anybody scrolls through.
const SOURCES: usize = 200;

/// A list that can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pane {
    /// Lines of ntp.conf with their hits.
    Rules,
    /// TopSources of packets that were refused.
    Sources,
    /// Single packets that were refused.
    Events,
    /// Reasons with their counters.
    Reasons,
}

impl Pane {
    /// All panes, in the order of the Tab key.
    pub const ALL: [Self; 4] = [Self::Rules, Self::Sources, Self::Events, Self::Reasons];

    /// Its title.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Rules => "Rules",
            Self::Sources => "Sources",
            Self::Events => "Events",
            Self::Reasons => "Reasons",
        }
    }

    /// The sort orders that it can have; the first is the default.
    pub const fn sorts(self) -> &'static [&'static str] {
        match self {
            Self::Rules => &["packets", "rate", "line"],
            Self::Sources => &["packets", "rate", "address"],
            Self::Events => &["newest", "oldest"],
            Self::Reasons => &["packets", "rate", "name"],
        }
    }

    /// The headings of its columns.
    pub const fn heads(self) -> &'static [&'static str] {
        match self {
            Self::Rules => &["packets", "rate", "reason", "line", "text"],
            Self::Sources => &["packets", "share", "rate", "source", "mostly", "line", "name"],
            Self::Events => &["UTC", "source", "asked", "reason", "line", "for"],
            Self::Reasons => &["packets", "share", "rate", "reason", "became", "meaning"],
        }
    }
}

/// What a row is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// A line with a reason, or a reason without a line.
    Rule(Reason, Option<Blamed>),
    /// A source.
    Source(IpAddr),
    /// A reason.
    Reason(Reason),
    /// An event, by its number.
    Event(u64),
}

impl Subject {
    /// Whether an event belongs to it.
    pub fn concerns(&self, data: &Data, event: &Event) -> bool {
        match self {
            Self::Rule(reason, line) => {
                let rules =
                    &mut data.rules.iter().filter(|rule| rule.reason == *reason && rule.line == *line);
                rules.any(|rule| rule.caused(event))
            }
            Self::Source(source) => event.source == Some(*source),
            Self::Reason(reason) => event.reason == *reason,
            Self::Event(_) => false,
        }
    }
}

/// A row of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What it is about.
    pub subject: Subject,
    /// The text of its columns, without control characters.
    pub cells: Vec<String>,
}

impl Row {
    /// Whether its text has all words of a filter, ignoring case.
    pub fn matches(&self, filter: &str) -> bool {
        let text = self.cells.join(" ").to_lowercase();
        filter.to_lowercase().split_whitespace().all(|word| text.contains(word))
    }
}

/// Names of sources; `None` for an address without a name. Addresses that weren't looked up are missing.
pub type Names = HashMap<IpAddr, Option<String>>;

/// All rows of a pane, in one of its sort orders.
pub fn rows(data: &Data, names: &Names, pane: Pane, sort: usize) -> Vec<Row> {
    match pane {
        Pane::Rules => rules(data, sort),
        Pane::Sources => sources(data, names, sort),
        Pane::Events => events(data, sort, |_| true),
        Pane::Reasons => reasons(data, sort),
    }
}

/// The rows of those events that are `chosen`.
pub fn events(data: &Data, sort: usize, chosen: impl Fn(&Event) -> bool) -> Vec<Row> {
    let chosen = data.events.iter().filter(|(_, event)| chosen(event));
    let mut rows: Vec<_> =
        chosen.map(|(number, event)| Row { subject: Subject::Event(*number), cells: cells(event) }).collect();
    if sort == 1 {
        rows.reverse();
    }
    rows
}

fn cells(event: &Event) -> Vec<String> {
    let source = match (event.source, event.port) {
        (Some(source), Some(port)) => std::net::SocketAddr::new(source, port).to_string(),
        (Some(source), None) => source.to_string(),
        _ => "hidden".to_owned(),
    };
    vec![
        clock(event.time_ns),
        source,
        clean(&event.asked()),
        tried(event.reason, event.trial),
        event.cause.as_ref().map_or_else(|| "-".to_owned(), place),
        format!("~{}", grouped(event.scale.into())),
    ]
}

/// The name of a reason, marked if it was a trial.
fn tried(reason: Reason, trial: bool) -> String {
    format!("{}{}", reason.name(), if trial { " (trial)" } else { "" })
}

fn rules(data: &Data, sort: usize) -> Vec<Row> {
    let mut rules: Vec<&Rule> = data.rules.iter().collect();
    rules.sort_by(|one, other| {
        let rate = |rule: &Rule| rule.rate.unwrap_or_default();
        let line = |rule: &Rule| rule.line.as_ref().map(|line| (line.file.clone(), line.line));
        match sort {
            1 => rate(other).total_cmp(&rate(one)),
            2 => line(one).cmp(&line(other)),
            _ => other.counter.packets.cmp(&one.counter.packets),
        }
    });
    let trial = data.sample().is_some_and(|sample| sample.trial);
    let row = |rule: &Rule| Row {
        subject: Subject::Rule(rule.reason, rule.line.clone()),
        cells: vec![
            grouped(rule.counter.packets),
            self::rate(rule.rate),
            tried(rule.reason, trial),
            rule.line.as_ref().map_or_else(|| "-".to_owned(), place),
            clean(&rule.text),
        ],
    };
    rules.into_iter().map(row).collect()
}

/// What is known of a source: an estimate from events, and from the limiter's table how often it was limited at least.
struct Sender<'a> {
    address: IpAddr,
    seen: Option<Source<'a>>,
    limited: u64,
}

impl Sender<'_> {
    /// The value by which it is sorted.
    fn weight(&self, sort: usize) -> f64 {
        match (&self.seen, sort) {
            (Some(seen), 1) => seen.recent,
            (None, 1) => 0.0,
            (Some(seen), _) => seen.seen.packets as f64,
            (None, _) => self.limited as f64,
        }
    }
}

fn sources(data: &Data, names: &Names, sort: usize) -> Vec<Row> {
    let Some(sample) = data.sample() else { return Vec::new() };
    let refused = data.rate(crate::top::Poll::refused);
    let seen = data.sources.all();
    let mut all: BTreeMap<_, _> = seen
        .map(|source| (source.address, Sender { address: source.address, seen: Some(source), limited: 0 }))
        .collect();
    for (address, limited) in &sample.limited {
        let none = Sender { address: *address, seen: None, limited: 0 };
        all.entry(*address).or_insert(none).limited = *limited;
    }
    let mut all: Vec<_> = all.into_values().collect();
    if sort != 2 {
        all.sort_by(|one, other| other.weight(sort).total_cmp(&one.weight(sort)));
    }
    let row = |sender: &Sender<'_>| {
        let name = match names.get(&sender.address) {
            None => String::new(),
            Some(None) => "no name".to_owned(),
            Some(Some(name)) => clean(name),
        };
        let mut cells = match &sender.seen {
            Some(Source { share, recent, reasons, .. }) => {
                let (reason, line) =
                    reasons.first().map_or(("-", &None), |(reason, line, _)| (reason.name(), line));
                vec![
                    format!("~{}", grouped((share * data.followed() as f64).round() as u64)),
                    format!("~{}", percent(*share, 1.0)),
                    refused.map_or_else(|| "-".to_owned(), |all| format!("~{}", rate(Some(all * recent)))),
                    sender.address.to_string(),
                    if sample.trial { format!("{reason} (trial)") } else { reason.to_owned() },
                    line.clone().unwrap_or_else(|| "-".to_owned()),
                ]
            }
            None => {
                let limited = format!("\u{2265}{}", grouped(sender.limited));
                [&limited, "-", "-", &sender.address.to_string(), Reason::Limited.name(), "-"]
                    .map(str::to_owned)
                    .to_vec()
            }
        };
        cells.push(name);
        Row { subject: Subject::Source(sender.address), cells }
    };
    all.iter().take(SOURCES).map(row).collect()
}

fn reasons(data: &Data, sort: usize) -> Vec<Row> {
    let Some(sample) = data.sample() else { return Vec::new() };
    let mut reasons = counted(data);
    let of_reason = |reason: Reason| data.rate(|sample| sample.reason(reason).packets);
    match sort {
        1 => reasons.sort_by(|one, other| {
            of_reason(*other).unwrap_or_default().total_cmp(&of_reason(*one).unwrap_or_default())
        }),
        2 => reasons.sort_by_key(|reason| reason.name()),
        _ => (),
    }
    let all: u64 = sample.reasons.iter().map(|counter| counter.packets).sum();
    let row = |reason: Reason| {
        let packets = sample.reason(reason).packets;
        Row {
            subject: Subject::Reason(reason),
            cells: vec![
                grouped(packets),
                percent(packets as f64, all as f64),
                rate(of_reason(reason)),
                reason.name().to_owned(),
                became(reason, sample.trial).to_owned(),
                reason.summary().to_owned(),
            ],
        }
    };
    reasons.into_iter().map(row).collect()
}

/// What happens to packets with this reason, in words.
pub fn became(reason: Reason, trial: bool) -> &'static str {
    match reason.action() {
        Action::Pass => "passed",
        Action::Drop if trial => "would drop",
        Action::Drop => "dropped",
        Action::Transmit => "answered",
    }
}

/// The reasons that have counted something: refusals first, and within each group the most frequent first.
pub fn counted(data: &Data) -> Vec<Reason> {
    let Some(sample) = data.sample() else { return Vec::new() };
    let counted = Reason::ALL.iter().copied().filter(|reason| sample.reason(*reason).packets > 0);
    let mut counted: Vec<_> = counted.collect();
    counted.sort_by_key(|reason| (reason.action() == Action::Pass, Reverse(sample.reason(*reason).packets)));
    counted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::data::tests::{event, ignoring, sample};
    use std::time::{Duration, Instant};

    fn data() -> Data {
        let (mut data, start) = (Data::new(Duration::from_secs(1)), Instant::now());
        data.read(sample(start, 0, &[]));
        data.take(
            (1..=12)
                .flat_map(|host: u8| vec![event([198, 18, 0, host], Reason::Mode7); host.into()])
                .collect(),
        );
        data.take(vec![event([198, 51, 100, 5], Reason::Ignore)]);
        let mut sample = sample(start, 1, &[(Reason::Mode7, 7800), (Reason::Ignore, 100), (Reason::Time, 4)]);
        sample.limited = vec![([203, 0, 113, 9].into(), 50)];
        data.read(sample);
        data
    }

    fn column(rows: &[Row], column: usize) -> Vec<&str> {
        rows.iter().map(|row| row.cells[column].as_str()).collect()
    }

    #[test]
    fn the_heaviest_sources_come_first_and_their_counts_are_estimates() {
        let names = Names::from([([198, 18, 0, 12].into(), Some("evil\x1b.example".to_owned()))]);
        let rows = rows(&data(), &names, Pane::Sources, 0);
        assert_eq!(rows.len(), 14);
        assert_eq!(column(&rows, 3)[..3], ["198.18.0.12", "198.18.0.11", "198.18.0.10"]);
        // 12 of 79 events, which stand for 7900 packets.
        assert_eq!(rows[0].cells[..3], ["~1,200", "~15.2 %", "~1,200/s"]);
        assert_eq!(rows[0].cells[4..], ["mode7", "-", "evil\u{fffd}.example"]);
        let limited = rows.iter().find(|row| row.cells[3] == "203.0.113.9").unwrap();
        assert_eq!(limited.cells[..3], ["\u{2265}50", "-", "-"]);
        let ignored = rows.iter().find(|row| row.cells[3] == "198.51.100.5").unwrap();
        assert_eq!(ignored.cells[4..6], ["ignore", "ntp.conf:2"]);
    }

    #[test]
    fn rules_are_sorted_and_found() {
        let by = |sort| rows(&data(), &Names::new(), Pane::Rules, sort);
        assert_eq!(column(&by(0), 0), ["7,800", "100", "0"]);
        assert_eq!(column(&by(2), 3), ["ntp.conf:1", "ntp.conf:1", "ntp.conf:2"]);
        let matching: Vec<_> = by(0).into_iter().filter(|row| row.matches("IGNORE 198.51")).collect();
        assert_eq!(column(&matching, 3), ["ntp.conf:2"]);
    }

    #[test]
    fn a_subject_has_its_events() {
        let data = data();
        let of = |subject: Subject| events(&data, 0, |event| subject.concerns(&data, event)).len();
        assert_eq!(of(Subject::Rule(Reason::Ignore, Some(ignoring()))), 1);
        assert_eq!(of(Subject::Rule(Reason::Mode7, data.sample().unwrap().everybody.clone())), 78);
        assert_eq!(of(Subject::Source([198, 18, 0, 3].into())), 3);
        assert_eq!(of(Subject::Reason(Reason::Mode7)), 78);
    }

    #[test]
    fn reasons_that_refuse_come_first() {
        let rows = rows(&data(), &Names::new(), Pane::Reasons, 0);
        assert_eq!(column(&rows, 3), ["mode7", "ignore", "time"]);
        assert_eq!(column(&rows, 4), ["dropped", "dropped", "passed"]);
    }
}
