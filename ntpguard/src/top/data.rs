//! The data that `top` shows: readings, the rates between them, and events.

use super::{
    history::{History, Rates},
    poll::Poll,
    sources::TopSources,
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

/// Rates are means over this time: long enough to be read, short enough to be current.
const MEAN: Duration = Duration::from_secs(3);
/// The number of events that are kept to scroll through: a few screens.
const EVENTS: usize = 1000;

/// The text for hits of built-in entries and of lines that were removed.
const NO_LINE: &str = "no line that ntp.conf has now";

/// What is known at one time.
#[derive(Clone, Debug)]
pub struct Data {
    /// The last readings of the same counters, the newest last.
    readings: VecDeque<Arc<Poll>>,
    /// The newest counts by line, and by reason for those without a line.
    pub rules: Vec<Rule>,
    /// The rates of the last minutes.
    pub history: History,
    /// The last events with their numbers, the newest first.
    pub events: VecDeque<(u64, Event)>,
    /// The sources of the events.
    pub sources: TopSources,
    /// How many events there were.
    pub seen: u64,
    /// How many packets had been refused when the first event came.
    before: Option<u64>,
    /// Why there are no events, if there are none.
    pub silence: Option<String>,
    /// Why there is no reading, if there is none.
    pub trouble: Option<String>,
}

/// A line with a reason, or a reason without a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Why packets were refused.
    pub reason: Reason,
    /// The line, if there is one.
    pub line: Option<Blamed>,
    /// The line's text; without a line, what else refuses such packets.
    pub text: String,
    /// How many packets and bytes.
    pub counter: Counter,
    /// Packets per second.
    pub rate: Option<f64>,
}

impl Rule {
    /// Whether it is to blame for an event.
    pub fn caused(&self, event: &Event) -> bool {
        // A reason without counters by line is one row, whatever line may be named.
        let counted = CAUSES.contains(&self.reason);
        self.reason == event.reason && (!counted || self.line == event.cause)
    }
}

impl Data {
    /// No data yet; readings will be `interval` apart.
    pub fn new(interval: Duration) -> Self {
        Self {
            readings: VecDeque::new(),
            rules: Vec::new(),
            history: History::new(interval),
            events: VecDeque::new(),
            sources: TopSources::default(),
            seen: 0,
            before: None,
            silence: None,
            trouble: None,
        }
    }

    /// Adds a reading.
    pub fn read(&mut self, sample: Poll) {
        self.trouble = None;
        if self.sample().is_some_and(|last| last.trial != sample.trial) {
            self.history.clear();
        }
        if self.sample().is_some_and(|last| !sample.goes_on_from(last)) {
            // These are other counters: the data of the previous ones is dropped.
            self.readings.clear();
            (self.sources, self.before) = (TopSources::default(), None);
        }
        let last = self.readings.back().cloned();
        if let Some(last) = &last {
            self.history.push(between(last, &sample));
        }
        self.readings.push_back(Arc::new(sample));
        let sample = &self.readings[self.readings.len() - 1];
        let old = |then: &Arc<Poll>| sample.taken.saturating_duration_since(then.taken) >= MEAN;
        let surplus = self.readings.iter().rposition(old).unwrap_or_default();
        self.readings.drain(..surplus);
        self.rules = self.ruled(last.as_deref());
        self.sources.settle();
    }

    /// Adds events.
    pub fn take(&mut self, events: Vec<Event>) {
        self.silence = None;
        if self.before.is_none() {
            self.before = self.sample().map(Poll::refused);
        }
        for event in events {
            self.sources.add(&event);
            self.events.push_front((self.seen, event));
            self.seen += 1;
        }
        self.events.truncate(EVENTS);
    }

    /// The newest reading.
    pub fn sample(&self) -> Option<&Poll> {
        self.readings.back().map(Arc::as_ref)
    }

    /// The time over which the rates are means, in seconds.
    fn elapsed(&self) -> Option<f64> {
        let (first, last) = (self.readings.front()?, self.readings.back()?);
        let elapsed = last.taken.saturating_duration_since(first.taken).as_secs_f64();
        (elapsed > 0.0).then_some(elapsed)
    }

    /// The rate per second of a count in the readings.
    pub fn rate(&self, what: impl Fn(&Poll) -> u64) -> Option<f64> {
        let (first, last) = (self.readings.front()?, self.readings.back()?);
        Some(what(last).saturating_sub(what(first)) as f64 / self.elapsed()?)
    }

    /// How many packets were refused while events came: the shares of sources are of these.
    pub fn followed(&self) -> u64 {
        let refused = self.sample().map_or(0, Poll::refused);
        refused.saturating_sub(self.before.unwrap_or(refused))
    }

    /// The counts by line; `last` is the reading before the newest one.
    fn ruled(&self, last: Option<&Poll>) -> Vec<Rule> {
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
            // Hits are read before reasons, so a reason may include packets that came in between. The previous reading is
            // used, so that they aren't taken for hits of removed lines.
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

fn between(then: &Poll, now: &Poll) -> Rates {
    let elapsed = now.taken.saturating_duration_since(then.taken).as_secs_f64();
    let rate = |what: &dyn Fn(&Poll) -> u64| {
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
    use crate::top::poll::LineDrops;
    use std::time::Instant;

    pub(crate) fn blamed(line: usize, text: &str) -> Blamed {
        Blamed { file: "/etc/ntp.conf".to_owned(), line, text: text.to_owned() }
    }

    pub(crate) fn ignoring() -> Blamed {
        blamed(2, "restrict 198.51.100.0 mask 255.255.255.0 ignore")
    }

    /// An event from `source`: a monlist query, or a time request that the reason's line refused.
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

    /// A reading `second` seconds after `start` with these packets; those of `ignore` are hits of its line.
    pub(crate) fn sample(start: Instant, second: u64, counts: &[(Reason, u64)]) -> Poll {
        let mut reasons = vec![Counter::default(); Reason::COUNT];
        for (reason, packets) in counts {
            reasons[reason.index() as usize] = Counter { packets: *packets, bytes: packets * 60 };
        }
        let ignored = reasons[Reason::Ignore.index() as usize];
        let none = Counter::default();
        let line = |reason, blamed, counter| LineDrops { reason, blamed: Some(blamed), counter };
        let everybody = blamed(1, "restrict default nomodify noquery");
        Poll {
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
        let monlist = |sample: &Poll| sample.reason(Reason::Mode7).packets;
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
        data.read(Poll { identity: 6, ..sample(start, 11, &[(Reason::Mode7, 5)]) });
        assert_eq!(data.rate(monlist), None);
        data.read(Poll { identity: 6, ..sample(start, 12, &[(Reason::Mode7, 9)]) });
        assert_eq!(data.rate(monlist), Some(4.0));
    }

    #[test]
    fn a_trial_has_counters_of_its_own() {
        let (mut data, start) = (Data::new(Duration::from_secs(1)), Instant::now());
        data.read(sample(start, 0, &[(Reason::Mode7, 1000)]));
        data.read(sample(start, 1, &[(Reason::Mode7, 3000)]));
        let trial =
            |second, packets| Poll { trial: true, ..sample(start, second, &[(Reason::Mode7, packets)]) };
        data.read(trial(2, 9000));
        assert_eq!((data.rate(Poll::refused), data.history.peak(|rates| rates.dropped)), (None, 0.0));
        data.read(trial(3, 9010));
        assert_eq!(data.rate(Poll::refused), Some(10.0));
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
        // Five packets came after the hits were read.
        data.read(read(1, 205, 200));
        assert!(data.rules.iter().all(|rule| rule.text != NO_LINE), "{:?}", data.rules);
        // Another policy, under which the line counts from zero.
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
