//! Which sources are tracked, and which are limited: readings of the tables that the kernel fills.

use crate::policy::network;
use ntpguard_common::limit::{
    table::{Set, WAYS},
    top::Heavy,
};
use std::{cmp::Reverse, collections::HashMap, net::IpAddr};

/// How many limited sources are reported by default.
pub const MOST: usize = 10;

/// One reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracked {
    /// How many sources the limiter tracks.
    pub sources: usize,
    /// How many it has room for.
    pub places: usize,
    /// How many sources `--max-rate` prefers.
    pub known: usize,
    /// The sources that were limited most since the previous reading, with how many packets were refused at least; most
    /// first.
    pub limited: Vec<(IpAddr, u64)>,
}

impl Tracked {
    /// How much of the table is used, in percent.
    pub fn load(&self) -> f64 {
        100.0 * self.sources as f64 / self.places.max(1) as f64
    }
}

/// Takes readings, each relative to the previous one.
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
    /// Continues after a reading with these [`totals`], and reports at most `most` sources.
    pub fn since(last: HashMap<IpAddr, u64>, most: usize) -> Self {
        Self { last, most }
    }

    /// Reads the tables at `now`, in ticks, which may be a little late or early; a source that has been silent for `memory`
    /// ticks isn't counted any more.
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
                // A count below the previous one means that the source lost its place in between.
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
