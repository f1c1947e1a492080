//! What is going on, in words, for somebody who sees `top` for the first time.

use super::{
    data::{Data, Rule},
    sources::Source,
    words::{clean, grouped, percent, place, rate},
};
use ntpguard_common::{Action, Reason};
use std::collections::HashMap;

/// The rate of drops a second from which it counts as an attack. Scanners send a few packets a second to every server on the
/// Internet.
const ATTACK: f64 = 100.0;
/// The number of recent events that say what is being asked for.
const LATELY: usize = 200;

/// How serious the situation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Nothing needs to be done.
    Calm,
    /// An attack is being dropped.
    Attack,
    /// Packets pass that should be dropped.
    Open,
}

/// The first lines of the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headline {
    /// How serious it is.
    pub level: Level,
    /// What attacks and at which rate, which line stops it, and who sends it.
    pub lines: [String; 3],
}

impl Headline {
    fn new(level: Level, first: impl Into<String>) -> Self {
        Self { level, lines: [first.into(), String::new(), String::new()] }
    }

    /// The headline for the data.
    pub fn of(data: &Data) -> Self {
        if let Some(trouble) = &data.trouble {
            let mut headline = Self::new(Level::Open, format!("NO COUNTERS: {}", clean(trouble)));
            headline.lines[1] = "what is below was read before; looking again".to_owned();
            return headline;
        }
        let Some(sample) = data.sample() else { return Self::new(Level::Calm, "reading counters") };
        let of_reason = |reason: Reason| data.rate(|sample| sample.reason(reason).packets);
        if of_reason(Reason::NoPolicy).is_some_and(|rate| rate > 0.0) {
            return Self::new(Level::Open, "NOT PROTECTED: no policy is in force, and everything passes");
        }
        if let Some(proof) = sample.silent.first() {
            let mut headline = Self::new(Level::Open, format!("NOT FILTERED: {}", clean(proof)));
            headline.lines[1] =
                "attached, but the driver doesn't run it; `ntpguard status` says what to do".to_owned();
            return headline;
        }
        let passed = data.rate(|sample| sample.total(Action::Pass).packets);
        let Some(refused) = data.rate(crate::top::Poll::refused) else {
            let trial = if sample.trial { "TRIAL, NOTHING IS DROPPED: " } else { "" };
            let word = if sample.trial { "would be refused" } else { "refused" };
            let refused = grouped(sample.refused());
            let first = format!("{trial}{refused} packets {word} so far; rates in a moment");
            return Self::new(Level::Calm, first);
        };
        let trial = if sample.trial { "TRIAL, NOTHING IS DROPPED: " } else { "" };
        if refused == 0.0 {
            let first = format!("{trial}no attack: nothing to drop now, {} passed", rate(passed));
            let mut headline = Self::new(Level::Calm, first);
            headline.lines[1] = match (sample.refused(), sample.trial) {
                (0, false) => "nothing was dropped since the filter was attached".to_owned(),
                (0, true) => "nothing would have been dropped in the trial".to_owned(),
                (refused, false) => {
                    format!("{} packets dropped since the filter was attached", grouped(refused))
                }
                (refused, true) => {
                    format!("{} packets passed in trials and would be dropped", grouped(refused))
                }
            };
            return headline;
        }
        let refusing = Reason::ALL.iter().filter(|reason| reason.action() != Action::Pass);
        let rates = refusing.map(|reason| (*reason, of_reason(*reason).unwrap_or_default()));
        let Some((reason, most)) = rates.max_by(|(_, one), (_, other)| one.total_cmp(other)) else {
            return Self::new(Level::Calm, "");
        };
        let (level, word) = match (sample.trial, refused >= ATTACK) {
            (true, true) => (Level::Open, "attack: would drop"),
            (true, false) => (Level::Calm, "would drop"),
            (false, true) => (Level::Attack, "UNDER ATTACK: dropping"),
            (false, false) => (Level::Calm, "no attack, a few strays: dropping"),
        };
        let part = percent(most, refused);
        let first = format!(
            "{trial}{word} {}, {part} {} ({})",
            rate(Some(refused)),
            asked(data, reason),
            reason.name()
        );
        Self { level, lines: [first, stopped(data, reason), from(data)] }
    }
}

/// What is asked for according to the last events, or else what the reason means.
fn asked(data: &Data, reason: Reason) -> String {
    let mut weights: HashMap<String, u64> = HashMap::new();
    for (_, event) in data.events.iter().take(LATELY).filter(|(_, event)| event.reason == reason) {
        *weights.entry(event.asked()).or_default() += u64::from(event.scale);
    }
    match weights.into_iter().max_by(|(a, one), (b, other)| one.cmp(other).then(b.cmp(a))) {
        Some((asked, _)) if matches!(reason, Reason::Mode6 | Reason::Mode7 | Reason::Noquery) => {
            clean(&asked)
        }
        _ => reason.brief().to_owned(),
    }
}

/// Which line stops it, and at which rate.
fn stopped(data: &Data, reason: Reason) -> String {
    let trial = data.sample().is_some_and(|sample| sample.trial);
    let stopped = if trial { "would be stopped" } else { "stopped" };
    let now = |rule: &Rule| rule.rate.unwrap_or_default();
    let rules = data.rules.iter().filter(|rule| rule.reason == reason);
    match rules.max_by(|one, other| now(one).total_cmp(&now(other))) {
        Some(rule) => {
            let place = rule.line.as_ref().map_or_else(|| "ntpguard".to_owned(), place);
            format!("{stopped} by {place}, {}: {}", rate(rule.rate), clean(&rule.text))
        }
        None => format!("{stopped} by ntpguard: {}", reason.brief()),
    }
}

/// The heaviest sources, according to events.
fn from(data: &Data) -> String {
    let heaviest = data.sources.heaviest(3);
    if heaviest.is_empty() {
        return String::new();
    }
    let one = |source: &Source<'_>| format!("{} ~{}", source.address, percent(source.recent, 1.0));
    format!("most from {}", heaviest.iter().map(one).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::data::tests::{event, sample};
    use std::time::{Duration, Instant};

    fn data(counts: &[(Reason, u64)]) -> Data {
        let (mut data, start) = (Data::new(Duration::from_secs(1)), Instant::now());
        data.read(sample(start, 0, &[]));
        data.read(sample(start, 1, counts));
        data
    }

    #[test]
    fn it_says_what_which_line_and_how_much() {
        let mut data = data(&[(Reason::Mode7, 4900), (Reason::Ignore, 100)]);
        let Headline { level, lines } = Headline::of(&data);
        assert_eq!(level, Level::Attack);
        assert_eq!(lines[0], "UNDER ATTACK: dropping 5,000/s, 98.0 % mode 7 queries (monlist) (mode7)");
        assert_eq!(
            lines[1],
            "stopped by ntp.conf:1, 4,900/s: nobody may query: restrict default nomodify noquery"
        );
        assert_eq!(lines[2], "");
        data.take(vec![event([192, 0, 2, 1], Reason::Mode7); 3]);
        data.take(vec![event([198, 51, 100, 1], Reason::Ignore)]);
        data.sources.settle();
        let Headline { lines, .. } = Headline::of(&data);
        assert_eq!(lines[0], "UNDER ATTACK: dropping 5,000/s, 98.0 % mode 7 monlist (mode7)");
        assert_eq!(lines[2], "most from 192.0.2.1 ~75.0 %, 198.51.100.1 ~25.0 %");
    }

    #[test]
    fn what_a_line_stops() {
        let Headline { lines, .. } = Headline::of(&data(&[(Reason::Ignore, 6000)]));
        assert_eq!(lines[0], "UNDER ATTACK: dropping 6,000/s, 100.0 % from ignored sources (ignore)");
        assert_eq!(
            lines[1],
            "stopped by ntp.conf:2, 6,000/s: restrict 198.51.100.0 mask 255.255.255.0 ignore"
        );
    }

    #[test]
    fn calm_trials_and_what_is_not_protected() {
        let first = |data: &Data| Headline::of(data).lines[0].clone();
        assert_eq!(first(&data(&[(Reason::Time, 12)])), "no attack: nothing to drop now, 12/s passed");
        assert!(first(&data(&[(Reason::Mode7, 3)])).starts_with("no attack, a few strays: dropping 3.0/s"));
        let open = Headline::of(&data(&[(Reason::NoPolicy, 12)]));
        assert_eq!(open.level, Level::Open);
        let mut lost = data(&[]);
        let last = sample(lost.sample().unwrap().taken, 1, &[]);
        let silent = vec!["eth0 not run: 300 frames came in by eth0, and the filter saw none".to_owned()];
        lost.read(crate::top::Poll { silent, ..last });
        assert!(
            first(&lost).starts_with("NOT FILTERED: eth0 not run: 300 frames came in"),
            "{}",
            first(&lost)
        );
        assert_eq!(Headline::of(&lost).level, Level::Open);
        let mut trial = data(&[]);
        let last = sample(trial.sample().unwrap().taken, 1, &[(Reason::Mode7, 2000)]);
        let last_taken = last.taken;
        trial.read(crate::top::Poll { trial: true, ..last });
        assert!(
            first(&trial).starts_with("TRIAL, NOTHING IS DROPPED: 2,000 packets would be refused so far")
        );
        let next = sample(last_taken, 1, &[(Reason::Mode7, 4000)]);
        trial.read(crate::top::Poll { trial: true, ..next });
        assert!(first(&trial).starts_with("TRIAL, NOTHING IS DROPPED: attack: would drop 2,000/s"));
        assert!(Headline::of(&trial).lines[1].starts_with("would be stopped by ntp.conf:1, 2,000/s"));
        trial.trouble = Some("gone\x1b".to_owned());
        assert_eq!(first(&trial), "NO COUNTERS: gone\u{fffd}");
        assert_eq!(first(&Data::new(Duration::from_secs(1))), "reading counters");
    }
}
