//! Which sources send what is refused, estimated from sampled events in bounded memory.

use super::words;
use crate::observe::{estimate::Estimate, event::Event, sketch::Sketch};
use ntpguard_common::Reason;
use std::{cmp::Reverse, collections::HashMap, mem, net::IpAddr};

/// The number of sources that are remembered: any source with more than a 4096th of all packets is among them ([`Sketch`]).
const PLACES: usize = 4096;
/// The number of reasons that are kept for a source: more than most sources have.
const REASONS: usize = 4;
/// The weight that a reading leaves to the previous rate, so that the rate doesn't jump with every sample.
const INERTIA: f64 = 0.6;

/// The sources of events, with their shares.
#[derive(Clone, Debug)]
pub struct TopSources {
    sketch: Sketch<IpAddr>,
    /// Per-source details that the sketch doesn't hold; may include evicted sources.
    beside: HashMap<IpAddr, Beside>,
    /// The number of packets that all events stand for, including those with a hidden source.
    weight: u64,
    recent: Recent,
}

/// Packets of the last seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Recent {
    /// Packets since the last reading.
    fresh: u64,
    /// The exponentially weighted mean of the packets in earlier readings.
    mean: f64,
}

#[derive(Clone, Debug, Default)]
struct Beside {
    reasons: Vec<(Reason, Option<String>, u64)>,
    recent: Recent,
}

/// What one source sent.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The source's address.
    pub address: IpAddr,
    /// What was seen of it.
    pub seen: Estimate,
    /// Its share of all packets that were seen.
    pub share: f64,
    /// Its share in the last seconds.
    pub recent: f64,
    /// How many packets its events stand for, by reason and the line to blame, if there is one; most first.
    pub reasons: &'a [(Reason, Option<String>, u64)],
}

impl Default for TopSources {
    fn default() -> Self {
        let (sketch, beside) = (Sketch::new(PLACES), HashMap::new());
        Self { sketch, beside, weight: 0, recent: Recent::default() }
    }
}

impl TopSources {
    /// Adds an event.
    pub fn add(&mut self, event: &Event) {
        let seen = Estimate::from(event);
        self.weight += seen.packets;
        self.recent.fresh += seen.packets;
        let Some(source) = event.source else { return };
        self.sketch.add(source, seen);
        if self.beside.len() >= 2 * PLACES && !self.beside.contains_key(&source) {
            // One sweep makes room for thousands of new sources.
            let sketch = &self.sketch;
            self.beside.retain(|source, _| sketch.get(source).is_some());
        }
        self.beside.entry(source).or_default().add(event, seen.packets);
    }

    /// Ends a reading: the packets since the last one are added to the rates.
    pub fn settle(&mut self) {
        self.recent.settle();
        self.beside.values_mut().for_each(|beside| beside.recent.settle());
    }

    /// What is known of a source.
    pub fn get(&self, source: IpAddr) -> Option<Source<'_>> {
        let seen = self.sketch.get(&source)?.seen;
        Some(self.of(source, seen))
    }

    /// All sources that are remembered, those with most packets first.
    pub fn all(&self) -> impl Iterator<Item = Source<'_>> {
        self.sketch.top(PLACES).into_iter().map(|heavy| self.of(heavy.key, heavy.seen))
    }

    /// The `most` sources with the largest share in the last seconds.
    pub fn heaviest(&self, most: usize) -> Vec<Source<'_>> {
        let mut sources: Vec<_> = self.all().filter(|source| source.recent > 0.0).collect();
        sources.sort_by(|a, b| b.recent.total_cmp(&a.recent).then(a.address.cmp(&b.address)));
        sources.truncate(most);
        sources
    }

    fn of(&self, address: IpAddr, seen: Estimate) -> Source<'_> {
        let beside = self.beside.get(&address);
        let part = |part: f64, all: f64| if all > 0.0 { part / all } else { 0.0 };
        Source {
            address,
            seen,
            share: part(seen.packets as f64, self.weight as f64),
            recent: part(beside.map_or(0.0, |beside| beside.recent.mean), self.recent.mean),
            reasons: beside.map_or(&[][..], |beside| &beside.reasons),
        }
    }
}

impl Recent {
    fn settle(&mut self) {
        self.mean = self.mean * INERTIA + mem::take(&mut self.fresh) as f64 * (1.0 - INERTIA);
        // A rate below half a packet becomes zero.
        if self.mean < 0.5 {
            self.mean = 0.0;
        }
    }
}

impl Beside {
    fn add(&mut self, event: &Event, packets: u64) {
        self.recent.fresh += packets;
        let place = event.cause.as_ref().map(words::place);
        let same =
            |(reason, line, _): &(Reason, Option<String>, u64)| *reason == event.reason && *line == place;
        match self.reasons.iter().position(same) {
            Some(at) => self.reasons[at].2 += packets,
            None if self.reasons.len() < REASONS => self.reasons.push((event.reason, place, packets)),
            None => (),
        }
        self.reasons.sort_by_key(|(_, _, packets)| Reverse(*packets));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::data::tests::event;
    use std::net::Ipv4Addr;

    #[test]
    fn the_heavy_stay_however_many_there_are() {
        let mut sources = TopSources::default();
        let forged = |number: u32| IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + number));
        let heavy = |number| IpAddr::from([192, 0, 2, number]);
        for number in 0..100_000 {
            sources.add(&event(forged(number), Reason::Mode7));
            if number % 10 == 0 {
                (0..5).for_each(|host| {
                    (0..=host).for_each(|_| sources.add(&event(heavy(host), Reason::Mode7)));
                });
            }
        }
        assert!(sources.beside.len() <= 2 * PLACES, "{}", sources.beside.len());
        sources.settle();
        let top: Vec<_> = sources.heaviest(5).iter().map(|source| source.address).collect();
        assert_eq!(top, [4, 3, 2, 1, 0].map(heavy));
        assert_eq!(sources.all().take(5).map(|source| source.address).collect::<Vec<_>>(), top);
        // The weight includes evicted sources.
        assert_eq!(sources.weight, 250_000 * 64);
        let first = sources.get(heavy(4)).unwrap();
        assert_eq!((first.seen.packets, first.share), (50_000 * 64, 0.2));
        // Rates end when the packets do.
        (0..60).for_each(|_| sources.settle());
        assert!(sources.heaviest(5).is_empty());
    }
}
