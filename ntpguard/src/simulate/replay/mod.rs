//! What a policy would have done with captured packets.
//!
//! Contract: memory is bounded, whatever the capture's length. Reasons and rules are exact. Sources are exact up to
//! [`MAX_SOURCES`] of them; beyond that, rare ones are forgotten, and [`Tally::forgotten`] bounds the error.

mod directions;

pub use directions::{Finder, Own, Way};

use crate::{capture::Frame, compile::Image, policy::network};
use ntpguard_common::{
    Action, Decision, Reason, Verdict,
    abi::{CAUSES, Counter, cause},
    decide,
};
use std::{cmp::Reverse, collections::HashMap, net::IpAddr, time::Duration};

/// The maximum number of sources counted at a time; they take at most a quarter of a gigabyte.
pub const MAX_SOURCES: usize = 1 << 20;

/// How many bytes of the payload are kept of a sample: enough for the head of mode 6 or 7.
const SAMPLE: usize = 12;

/// The first packet of a reason.
#[derive(Clone, Debug)]
pub struct FirstPacket {
    /// When it was captured.
    pub time: Option<Duration>,
    /// Its source address and UDP port.
    pub source: Option<(IpAddr, u16)>,
    /// The first bytes of its payload.
    pub payload: Vec<u8>,
}

/// The counts for a capture.
#[derive(Default)]
pub struct Tally {
    /// All frames.
    pub frames: u64,
    /// Frames that the host sent to others, which XDP never saw.
    pub outgoing: u64,
    /// Frames that the host sent to itself, which no card sees.
    pub within: u64,
    /// The host's own addresses, if the capture doesn't mark directions.
    own: Own,
    /// Frames that may be for port 123, of which too little was captured to tell.
    pub cut: u64,
    /// Counts by [`Reason::index`], with the first packet of each.
    pub reasons: Vec<(Counter, Option<FirstPacket>)>,
    /// Drops by rule and cause: for each rule, one for each of [`CAUSES`].
    pub hits: Vec<Counter>,
    /// Drops by source.
    sources: HashMap<IpAddr, Counter>,
    /// A source that isn't listed had at most this many drops, and a listed one may have had at most this many more.
    pub forgotten: u64,
}

impl Tally {
    /// Zero counts, with room for an image's rules.
    pub fn new(image: &Image, own: Own) -> Self {
        let nothing = (Counter::default(), None);
        Self {
            reasons: vec![nothing; Reason::COUNT],
            hits: vec![Counter::default(); image.rules.len() * CAUSES.len()],
            own,
            ..Self::default()
        }
    }

    /// Judges a frame and counts it.
    pub fn count(&mut self, image: &Image, frame: &Frame<'_>) {
        self.frames += 1;
        match self.own.way(frame.bytes) {
            Way::Within => {
                self.within += 1;
                return;
            }
            way if frame.outgoing || way == Way::Out => {
                self.outgoing += 1;
                return;
            }
            _ => (),
        }
        let verdict = match decide(frame.bytes, image) {
            Decision::NotNtp => return,
            Decision::Truncated => {
                self.cut += u64::from(frame.cut());
                return;
            }
            Decision::Judged(verdict) => verdict,
        };
        let bytes = u64::from(frame.length);
        let (counter, sample) = &mut self.reasons[verdict.reason.index() as usize];
        add(counter, bytes);
        if sample.is_none() {
            *sample = Some(sampled(frame, verdict));
        }
        let hit = cause(verdict.reason).map(|cause| verdict.rule as usize * CAUSES.len() + cause as usize);
        if let Some(counter) = hit.and_then(|hit| self.hits.get_mut(hit)) {
            add(counter, bytes);
        }
        if verdict.action() == Action::Drop
            && let Some(source) = verdict.datagram.and_then(|datagram| datagram.source(frame.bytes))
        {
            add(self.sources.entry(network::address(&source)).or_default(), bytes);
            if self.sources.len() > MAX_SOURCES {
                self.forget();
            }
        }
    }

    /// The sources with most drops, most first.
    pub fn top(&self, number: usize) -> Vec<(IpAddr, Counter)> {
        let mut all: Vec<_> = self.sources.iter().map(|(source, counter)| (*source, *counter)).collect();
        let order = |(source, counter): &(IpAddr, Counter)| (Reverse(counter.packets), *source);
        all.sort_unstable_by_key(order);
        all.truncate(number);
        all
    }

    /// The sum over all reasons with an action.
    pub fn total(&self, action: Action) -> Counter {
        let of_action = Reason::ALL.iter().filter(|reason| reason.action() == action);
        of_action.map(|reason| self.reasons[reason.index() as usize].0).sum()
    }

    /// Forgets the rarer half of the sources (after Misra and Gries, "Finding repeated elements", 1982).
    fn forget(&mut self) {
        let mut counts: Vec<_> = self.sources.values().map(|counter| counter.packets).collect();
        let middle = counts.len() / 2;
        let (_, median, _) = counts.select_nth_unstable(middle);
        let median = *median;
        self.forgotten += median;
        self.sources.retain(|_, counter| counter.packets > median);
    }
}

fn add(counter: &mut Counter, bytes: u64) {
    counter.packets += 1;
    counter.bytes += bytes;
}

fn sampled(frame: &Frame<'_>, verdict: Verdict) -> FirstPacket {
    let Some(datagram) = verdict.datagram else {
        return FirstPacket { time: frame.time, source: None, payload: Vec::new() };
    };
    let payload = frame.bytes.get(datagram.payload..).unwrap_or(&[]);
    let length = datagram.length.min(SAMPLE).min(payload.len());
    FirstPacket {
        time: frame.time,
        source: datagram
            .source(frame.bytes)
            .map(|source| network::address(&source))
            .zip(datagram.source_port(frame.bytes)),
        payload: payload[..length].to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        compile::Hardening,
        conf::ntp,
        daemon::dialect::{Daemon, Dialect},
        policy::Policy,
        simulate::frame,
    };
    use std::path::Path;

    fn image() -> Image {
        let text = b"restrict default noquery\nrestrict 192.0.2.0 mask 255.255.255.0 ignore\n";
        let conf = ntp::parse(Path::new("ntp.conf"), text, Daemon::new(Dialect::Ntp426)).unwrap();
        let policy = Policy::resolve(&conf, &|_| unreachable!("no names"), &[]);
        Image::compile(&policy, &conf, Hardening::NONE)
    }

    fn count(tally: &mut Tally, image: &Image, source: IpAddr, mode: u8) {
        let bytes = frame::build(source, 40_000, &frame::usual(mode, None)).unwrap();
        let frame = Frame { bytes: &bytes, length: bytes.len() as u32, time: None, outgoing: false };
        tally.count(image, &frame);
    }

    #[test]
    fn reasons_rules_and_sources() {
        let image = image();
        let mut tally = Tally::new(&image, Own::default());
        for _ in 0..3 {
            count(&mut tally, &image, [192, 0, 2, 1].into(), 3);
        }
        count(&mut tally, &image, [192, 0, 2, 2].into(), 3);
        count(&mut tally, &image, [198, 51, 100, 1].into(), 3);
        count(&mut tally, &image, [198, 51, 100, 1].into(), 7);
        assert_eq!(tally.total(Action::Pass).packets, 1);
        assert_eq!(tally.total(Action::Drop).packets, 5);
        let top: Vec<_> =
            tally.top(2).into_iter().map(|(source, counter)| (source.to_string(), counter.packets)).collect();
        assert_eq!(top, [("192.0.2.1".to_owned(), 3), ("192.0.2.2".to_owned(), 1)]);
        let hits: u64 = tally.hits.iter().map(|hits| hits.packets).sum();
        assert_eq!(hits, 4, "mode 7 is dropped before any rule is asked");
        let (_, sample) = &tally.reasons[Reason::Mode7.index() as usize];
        assert_eq!(sample.as_ref().unwrap().payload, [0x17, 0, 3, 42, 0, 0, 0, 0]);
    }

    #[test]
    fn the_rare_are_forgotten_and_the_frequent_kept() {
        let mut tally = Tally::default();
        for source in 0..1000_u32 {
            let packets = if source < 10 { 100 } else { 1 };
            tally.sources.insert(IpAddr::from(source.to_be_bytes()), Counter { packets, bytes: 0 });
        }
        tally.forget();
        assert_eq!((tally.sources.len(), tally.forgotten), (10, 1));
    }
}
