//! Who is remembered, and who is limited: readings of the tables that the kernel fills.

use crate::policy::network;
use ntpguard_common::limit::{
    table::{Set, WAYS},
    top::Heavy,
};
use std::{cmp::Reverse, collections::HashMap, net::IpAddr};

/// How many limited sources are told of, unless it is said.
pub const MOST: usize = 10;

/// One reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracked {
    /// Sources that the limiter remembers.
    pub sources: usize,
    /// Places for them.
    pub places: usize,
    /// Sources that `--max-rate` prefers.
    pub known: usize,
    /// Who was limited most since the reading before: packets refused, at least. Most first.
    pub limited: Vec<(IpAddr, u64)>,
}

impl Tracked {
    /// The part of the places that is taken, in percent.
    pub fn load(&self) -> f64 {
        100.0 * self.sources as f64 / self.places.max(1) as f64
    }
}

/// Takes readings, one after the other.
pub struct Reader {
    last: HashMap<IpAddr, u64>,
    most: usize,
}

impl Default for Reader {
    fn default() -> Self {
        Self { last: HashMap::new(), most: MOST }
    }
}

impl Reader {
    /// Goes on after a reading in which sources had these [`totals`], and tells of so many.
    pub fn since(last: HashMap<IpAddr, u64>, most: usize) -> Self {
        Self { last, most }
    }

    /// Reads at `now`, in ticks, which may be somewhat late or early; a source that has been silent for `memory`
    /// ticks counts no longer.
    pub fn read(&mut self, sets: &[Set], heavy: &[Heavy], now: u32, memory: u32) -> Tracked {
        let (mut sources, mut known) = (0, 0);
        for (_, account) in sets.iter().flat_map(Set::accounts) {
            let pause = now.wrapping_sub(account.time) as i32;
            sources += usize::from(pause.unsigned_abs() < memory);
            known += usize::from(account.known);
        }
        let totals = totals(heavy);
        let mut limited: Vec<_> = totals
            .iter()
            .map(|(source, packets)| {
                // One that counts less than before has lost its place in between.
                let before = self.last.get(source).filter(|before| *before <= packets).unwrap_or(&0);
                (*source, packets - before)
            })
            .filter(|(_, packets)| *packets > 0)
            .collect();
        limited.sort_by_key(|(source, packets)| (Reverse(*packets), *source));
        limited.truncate(self.most);
        self.last = totals;
        Tracked { sources, places: sets.len() * WAYS, known, limited }
    }
}

/// How often each candidate was limited, at least.
pub fn totals(heavy: &[Heavy]) -> HashMap<IpAddr, u64> {
    let all = heavy.iter().filter_map(Heavy::read);
    all.map(|(source, packets)| (network::address(&source), packets)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ntpguard_common::Source;

    #[test]
    fn the_top_is_what_came_since_the_reading_before() {
        let heavy: Vec<_> = (0..4).map(|_| Heavy::default()).collect();
        let source = |host| Source::of_v4([192, 0, 2, host]);
        let address = |host| IpAddr::from([192, 0, 2, host]);
        let count = |place: usize, packets| {
            (0..packets).for_each(|_| heavy[place].count(place as u64 + 1, source(place as u8).halves()));
        };
        let (mut reader, sets) = (Reader::default(), [Set::default(), Set::default()]);
        let mut top = || reader.read(&sets, &heavy, 0, 64_000).limited;
        assert_eq!(top(), []);
        count(1, 5);
        count(2, 7);
        assert_eq!(top(), [(address(2), 7), (address(1), 5)]);
        count(1, 3);
        assert_eq!(top(), [(address(1), 3)]);
        assert_eq!(reader.read(&sets, &heavy, 0, 64_000).places, 8);
    }
}
