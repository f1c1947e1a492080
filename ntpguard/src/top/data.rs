//! What is known: readings, the rates between them, and events.

use super::{
    history::{History, Rates},
    sample::Sample,
    sources::Sources,
};
use crate::observe::event::{Blamed, Event};
use ntpguard_common::{
    Action, Reason,
    abi::{CAUSES, Counter},
};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

/// Rates are means over so much time: long enough to be read, short enough to be now.
const MEAN: Duration = Duration::from_secs(3);
/// Events that are kept to scroll through: some screens full.
const EVENTS: usize = 1000;

/// Hits of entries that are built in, and of lines that are gone.
const NO_LINE: &str = "no line that ntp.conf has now";

/// What is known at one time.
#[derive(Clone, Debug)]
pub struct Data {
    /// The last readings, the newest last, of the same counters.
    readings: VecDeque<Arc<Sample>>,
    /// The newest by line, with what no line is to blame for.
    pub rules: Vec<Rule>,
    /// The last minutes.
    pub history: History,
    /// The last events with their numbers, the newest first.
    pub events: VecDeque<(u64, Event)>,
    /// Who they came from.
    pub sources: Sources,
    /// How many there were.
    pub seen: u64,
    /// What had been refused when the first came.
    before: Option<u64>,
    /// Why there are no events.
    pub silence: Option<String>,
    /// Why there is no reading.
    pub trouble: Option<String>,
}

/// A line and a reason, or a reason without a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Why.
    pub reason: Reason,
    /// The line.
    pub line: Option<Blamed>,
    /// What it says; without a line, who else refuses such packets.
    pub text: String,
    /// How much.
    pub counter: Counter,
    /// Packets a second.
    pub rate: Option<f64>,
}

impl Rule {
    /// Whether it is to blame for an event.
    pub fn caused(&self, event: &Event) -> bool {
        // Without a counter of its own, a reason is one row, whatever line may be named.
        let counted = CAUSES.contains(&self.reason);
        self.reason == event.reason && (!counted || self.line == event.cause)
    }
}

impl Data {
    /// Nothing yet, of readings so far apart.
    pub fn new(interval: Duration) -> Self {
        Self {
            readings: VecDeque::new(),
            rules: Vec::new(),
            history: History::new(interval),
            events: VecDeque::new(),
            sources: Sources::default(),
            seen: 0,
            before: None,
            silence: None,
            trouble: None,
        }
    }

    /// Another reading.
    pub fn read(&mut self, sample: Sample) {
        self.trouble = None;
        if self.sample().is_some_and(|last| last.trial != sample.trial) {
            self.history.clear();
        }
        if self.sample().is_some_and(|last| !sample.goes_on_from(last)) {
            // Others count now, and what there was belongs to those before.
            self.readings.clear();
            (self.sources, self.before) = (Sources::default(), None);
        }
        let last = self.readings.back().cloned();
        if let Some(last) = &last {
            self.history.push(between(last, &sample));
        }
        self.readings.push_back(Arc::new(sample));
        let sample = &self.readings[self.readings.len() - 1];
        let old = |then: &Arc<Sample>| sample.taken.saturating_duration_since(then.taken) >= MEAN;
        let surplus = self.readings.iter().rposition(old).unwrap_or_default();
        self.readings.drain(..surplus);
        self.rules = self.ruled(last.as_deref());
        self.sources.settle();
    }

    /// More events.
    pub fn take(&mut self, events: Vec<Event>) {
        self.silence = None;
        if self.before.is_none() {
            self.before = self.sample().map(Sample::refused);
        }
        for event in events {
            self.sources.add(&event);
            self.events.push_front((self.seen, event));
            self.seen += 1;
        }
        self.events.truncate(EVENTS);
    }

    /// The newest reading.
    pub fn sample(&self) -> Option<&Sample> {
        self.readings.back().map(Arc::as_ref)
    }

    /// How much time the rates are means over.
    fn elapsed(&self) -> Option<f64> {
        let (first, last) = (self.readings.front()?, self.readings.back()?);
        let elapsed = last.taken.saturating_duration_since(first.taken).as_secs_f64();
        (elapsed > 0.0).then_some(elapsed)
    }

    /// Packets a second of something that a reading has.
    pub fn rate(&self, what: impl Fn(&Sample) -> u64) -> Option<f64> {
        let (first, last) = (self.readings.front()?, self.readings.back()?);
        Some(what(last).saturating_sub(what(first)) as f64 / self.elapsed()?)
    }

    /// What was refused while events came: what the shares of their sources are of.
    pub fn followed(&self) -> u64 {
        let refused = self.sample().map_or(0, Sample::refused);
        refused.saturating_sub(self.before.unwrap_or(refused))
    }

    /// By line; `last` is the reading before the newest.
    fn ruled(&self, last: Option<&Sample>) -> Vec<Rule> {
        let (Some(now), Some(first)) = (self.sample(), self.readings.front()) else { return Vec::new() };
        let elapsed = self.elapsed().filter(|_| first.generation == now.generation);
        let then: HashMap<_, _> = first
            .lines
            .iter()
            .map(|line| ((line.reason.index(), &line.blamed), line.counter.packets))
            .collect();
        let mut of_lines = vec![Counter::default(); Reason::COUNT];
        let mut rules = Vec::new();
        for line in &now.lines {
            let sum = &mut of_lines[line.reason.index() as usize];
            *sum = [*sum, line.counter].into_iter().sum();
            let before = then.get(&(line.reason.index(), &line.blamed)).copied().unwrap_or_default();
            rules.push(Rule {
                reason: line.reason,
                line: line.blamed.clone(),
                text: line.blamed.as_ref().map_or(NO_LINE, |line| &line.text).to_owned(),
                counter: line.counter,
                rate: elapsed.map(|elapsed| line.counter.packets.saturating_sub(before) as f64 / elapsed),
            });
        }
        for &reason in Reason::ALL.iter().filter(|reason| reason.action() != Action::Pass) {
            let counted = CAUSES.contains(&reason);
            // Hits are read before reasons: what came in between is nobody's who is gone.
            let all = if counted { last.unwrap_or(now) } else { now }.reason(reason);
            let of_lines = of_lines[reason.index() as usize];
            let counter = Counter {
                packets: all.packets.saturating_sub(of_lines.packets),
                bytes: all.bytes.saturating_sub(of_lines.bytes),
            };
            if counter.packets == 0 {
                continue;
            }
            if counted
                && let Some(other) =
                    rules.iter_mut().find(|rule| rule.reason == reason && rule.line.is_none())
            {
                other.counter = [other.counter, counter].into_iter().sum();
                continue;
            }
            let queries = matches!(reason, Reason::Mode6 | Reason::Mode7);
            let text = match (&now.everybody, &now.unknown) {
                (Some(line), _) if queries => format!("nobody may query: {}", line.text),
                (None, _) if queries => "nobody may query (ntpguard's --queries)".to_owned(),
                (_, Some(why)) if counted => format!("by line: {why}"),
                _ if counted => NO_LINE.to_owned(),
                _ => format!("ntpguard itself: {}", reason.brief()),
            };
            rules.push(Rule {
                reason,
                line: now.everybody.clone().filter(|_| queries),
                text,
                counter,
                rate: self.rate(|sample| sample.reason(reason).packets).filter(|_| !counted),
            });
        }
        rules
    }
}

fn between(then: &Sample, now: &Sample) -> Rates {
    let elapsed = now.taken.saturating_duration_since(then.taken).as_secs_f64();
    let rate = |what: &dyn Fn(&Sample) -> u64| {
        if elapsed > 0.0 { what(now).saturating_sub(what(then)) as f64 / elapsed } else { 0.0 }
    };
    Rates {
        passed: rate(&|sample| sample.total(Action::Pass).packets),
        dropped: rate(&|sample| sample.total(Action::Drop).packets),
        limited: rate(&|sample| sample.reason(Reason::Limited).packets),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::top::sample::Line;
    use std::time::Instant;

    pub(crate) fn blamed(line: usize, text: &str) -> Blamed {
        Blamed { file: "/etc/ntp.conf".to_owned(), line, text: text.to_owned() }
    }

    pub(crate) fn ignoring() -> Blamed {
        blamed(2, "restrict 198.51.100.0 mask 255.255.255.0 ignore")
    }

    /// What `source` sent: monlist, or a time request that the reason's line refused.
    pub(crate) fn event(source: impl Into<std::net::IpAddr>, reason: Reason) -> Event {
        let query = matches!(reason, Reason::Mode7);
        Event {
            time_ns: 1_700_000_000_000_000_000,
            interface: "eth0".to_owned(),
            source: Some(source.into()),
            port: Some(40000),
            mode: Some(if query { 7 } else { 3 }),
            version: Some(2),
            request: query.then(|| "monlist".to_owned()),
            length: 60,
            reason,
            cause: (reason == Reason::Ignore).then(ignoring),
            scale: 64,
            trial: false,
            frame: None,
        }
    }

    /// A reading so many seconds after `start` with these packets; those of `ignore` are its line's.
    pub(crate) fn sample(start: Instant, second: u64, counts: &[(Reason, u64)]) -> Sample {
        let mut reasons = vec![Counter::default(); Reason::COUNT];
        for (reason, packets) in counts {
            reasons[reason.index() as usize] = Counter { packets: *packets, bytes: packets * 60 };
        }
        let ignored = reasons[Reason::Ignore.index() as usize];
        let none = Counter::default();
        let line = |reason, blamed, counter| Line { reason, blamed: Some(blamed), counter };
        let everybody = blamed(1, "restrict default nomodify noquery");
        Sample {
            taken: start + Duration::from_secs(second),
            time: 1_700_000_000 + second,
            reasons,
            lines: vec![
                line(Reason::Ignore, ignoring(), ignored),
                line(Reason::Noquery, everybody.clone(), none),
            ],
            limited: Vec::new(),
            policy: "policy 1: 2 rules, policy from /etc/ntp.conf".to_owned(),
            generation: 1,
            everybody: Some(everybody),
            unknown: None,
            others: 0,
            trial: false,
            silent: Vec::new(),
            interfaces: vec!["eth0".to_owned()],
            run: Some(7),
            identity: 5,
        }
    }

    #[test]
    fn rates_are_means_and_counts_exact() {
        let (mut data, start) = (Data::new(Duration::from_secs(1)), Instant::now());
        let monlist = |sample: &Sample| sample.reason(Reason::Mode7).packets;
        data.read(sample(start, 0, &[(Reason::Mode7, 1000)]));
        assert_eq!(data.rate(monlist), None);
        for second in 1..=10 {
            data.read(sample(
                start,
                second,
                &[(Reason::Mode7, 1000 + second * second), (Reason::Ignore, 3 * second)],
            ));
        }
        // (100 - 49) / 3
        assert_eq!((data.rate(monlist), data.sample().map(monlist)), (Some(17.0), Some(1100)));
        assert_eq!(data.history.peak(|rates| rates.dropped), 22.0);
        let sum: u64 = data.rules.iter().map(|rule| rule.counter.packets).sum();
        assert_eq!(sum, data.sample().unwrap().refused(), "every drop is somebody's: {:?}", data.rules);
        assert_eq!((data.rules[0].counter.packets, data.rules[0].rate), (30, Some(3.0)));
        assert_eq!(data.rules[2].text, "nobody may query: restrict default nomodify noquery");
        // Other counters.
        data.read(Sample { identity: 6, ..sample(start, 11, &[(Reason::Mode7, 5)]) });
        assert_eq!(data.rate(monlist), None);
        data.read(Sample { identity: 6, ..sample(start, 12, &[(Reason::Mode7, 9)]) });
        assert_eq!(data.rate(monlist), Some(4.0));
    }

    #[test]
    fn a_trial_has_counters_of_its_own() {
        let (mut data, start) = (Data::new(Duration::from_secs(1)), Instant::now());
        data.read(sample(start, 0, &[(Reason::Mode7, 1000)]));
        data.read(sample(start, 1, &[(Reason::Mode7, 3000)]));
        let trial =
            |second, packets| Sample { trial: true, ..sample(start, second, &[(Reason::Mode7, packets)]) };
        data.read(trial(2, 9000));
        assert_eq!((data.rate(Sample::refused), data.history.peak(|rates| rates.dropped)), (None, 0.0));
        data.read(trial(3, 9010));
        assert_eq!(data.rate(Sample::refused), Some(10.0));
    }

    #[test]
    fn hits_of_gone_lines_are_told_apart_from_those_that_came_in_between() {
        let (mut data, start) = (Data::new(Duration::from_secs(1)), Instant::now());
        let read = |second, ignored, of_line| {
            let mut sample = sample(start, second, &[(Reason::Ignore, ignored)]);
            sample.lines[0].counter.packets = of_line;
            sample
        };
        data.read(read(0, 100, 100));
        // Five came after the hits were read.
        data.read(read(1, 205, 200));
        assert!(data.rules.iter().all(|rule| rule.text != NO_LINE), "{:?}", data.rules);
        // Another policy: the line counts anew.
        data.read(read(2, 205, 0));
        data.read(read(3, 205, 0));
        let gone = data.rules.iter().find(|rule| rule.text == NO_LINE).unwrap();
        assert_eq!(gone.counter.packets, 205);
    }

    #[test]
    fn events_are_bounded_and_shares_are_of_what_came_with_them() {
        let (mut data, start) = (Data::new(Duration::from_secs(1)), Instant::now());
        data.read(sample(start, 0, &[(Reason::Mode7, 500)]));
        data.take(Vec::new());
        data.take((0..3000).map(|_| event([192, 0, 2, 1], Reason::Mode7)).collect());
        data.read(sample(start, 1, &[(Reason::Mode7, 800)]));
        assert_eq!((data.events.len(), data.events[0].0, data.followed()), (EVENTS, 2999, 300));
    }
}
