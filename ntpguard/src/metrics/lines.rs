//! Hits by line, as a bounded number of series.
//!
//! A policy may have thousands of lines. Those with most hits have series of their own, and the hits of all others are added
//! up so that the sum never decreases: when a line gets another one's series, the sum keeps what it has.

use ntpguard_common::{Reason, abi::Counter};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
};

/// The maximum number of lines with series of their own. Each has a series or two, because a line usually drops for one
/// reason.
pub const MOST: usize = 200;
/// The label of the sum of all other lines.
const OTHER: &str = "other";
/// The label of rules that the daemon has without a line.
const BUILT_IN: &str = "built-in";

/// The hits of one line, or of all others, for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The file; empty for hits without one.
    pub file: String,
    /// The line number, or a label instead.
    pub line: String,
    /// Why packets were dropped or answered.
    pub reason: Reason,
    /// How many packets and bytes.
    pub counter: Counter,
}

impl Hit {
    fn labels(&self) -> (&str, &str, u32) {
        (&self.file, &self.line, self.reason.index())
    }
}

/// The place of a line: the index of the policy's file, and the line number in it. `None` if it is built in.
pub type LinePlace = Option<(usize, usize)>;

/// Hits by line, over successive readings.
#[derive(Default)]
pub struct Lines {
    /// The generation of the policy in the previous reading.
    generation: Option<u32>,
    last: HashMap<(LinePlace, Reason), Counter>,
    others: BTreeMap<u32, Counter>,
}

impl Lines {
    /// The series for a reading of the policy of this generation; `name` returns the name of a file.
    pub fn read(
        &mut self,
        generation: u32,
        hits: impl Iterator<Item = (LinePlace, Reason, Counter)>,
        name: impl Fn(usize) -> String,
    ) -> Vec<Hit> {
        let (mut all, mut packets) = (HashMap::new(), HashMap::new());
        // A line may have made several rules: `default` in two families, or a name with two addresses.
        for (place, reason, counter) in hits {
            *packets.entry(place).or_insert(0) += counter.packets;
            let sum: &mut Counter = all.entry((place, reason)).or_default();
            *sum = [*sum, counter].into_iter().sum();
        }
        let mut ranked: Vec<_> = packets.into_iter().collect();
        ranked.sort_by(|(place, packets), (other, more)| {
            (Reverse(packets), place).cmp(&(Reverse(more), other))
        });
        let shown: HashSet<LinePlace> = ranked.into_iter().take(MOST).map(|(place, _)| place).collect();
        let mut lines = Vec::new();
        for ((place, reason), counter) in &all {
            if shown.contains(place) {
                let (file, line) = place.map_or_else(
                    || (String::new(), BUILT_IN.to_owned()),
                    |(file, line)| (name(file), line.to_string()),
                );
                lines.push(Hit { file, line, reason: *reason, counter: *counter });
            } else {
                self.add(generation, *place, *reason, *counter);
            }
        }
        (self.generation, self.last) = (Some(generation), all);
        lines.extend(self.others.iter().map(|(reason, counter)| Hit {
            file: String::new(),
            line: OTHER.to_owned(),
            reason: Reason::ALL[*reason as usize],
            counter: *counter,
        }));
        lines.sort_by(|a, b| a.labels().cmp(&b.labels()));
        // A file that is read twice has two indexes with the same name, but a scrape must not have a series twice.
        lines.dedup_by(|next, kept| {
            let same = next.labels() == kept.labels();
            if same {
                kept.counter = [kept.counter, next.counter].into_iter().sum();
            }
            same
        });
        lines
    }

    /// Adds to the sum what a line has counted since the previous reading. Under another policy, this place may be that of
    /// another line, and how many of its hits are new is unknown: none are added.
    fn add(&mut self, generation: u32, place: LinePlace, reason: Reason, now: Counter) {
        let before = match self.generation {
            None => Counter::default(),
            Some(before) if before == generation => {
                self.last.get(&(place, reason)).copied().unwrap_or_default()
            }
            Some(_) => now,
        };
        let sum = self.others.entry(reason.index()).or_default();
        sum.packets += now.packets.saturating_sub(before.packets);
        sum.bytes += now.bytes.saturating_sub(before.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(line: usize, packets: u64) -> (LinePlace, Reason, Counter) {
        (Some((0, line)), Reason::Ignore, Counter { packets, bytes: packets * 90 })
    }

    fn name(_: usize) -> String {
        "ntp.conf".to_owned()
    }

    fn packets(lines: &[Hit], line: &str) -> Option<u64> {
        lines.iter().find(|hit| hit.line == line).map(|hit| hit.counter.packets)
    }

    #[test]
    fn rules_of_one_line_are_one_and_what_has_none_is_built_in() {
        let built_in = (None, Reason::Noquery, Counter { packets: 2, bytes: 180 });
        let lines = Lines::default().read(1, [hit(3, 5), built_in, hit(3, 7)].into_iter(), name);
        assert_eq!((packets(&lines, "3"), packets(&lines, "built-in"), lines.len()), (Some(12), Some(2), 2));
        assert_eq!(packets(&lines, "other"), None);
    }

    #[test]
    fn a_file_that_is_included_twice_has_each_line_once() {
        let (first, _, counter) = hit(3, 5);
        let again = first.map(|(_, line)| (1, line));
        let hits = [first, again].map(|place| (place, Reason::Ignore, counter));
        let lines = Lines::default().read(1, hits.into_iter(), name);
        assert_eq!((packets(&lines, "3"), lines.len()), (Some(10), 1));
    }

    #[test]
    fn many_lines_are_few_series_and_the_sum_never_goes_back() {
        let mut lines = Lines::default();
        let mut hits: Vec<u64> = (1..=300).rev().collect();
        let mut read = |generation, hits: &[u64]| {
            let all: Vec<_> =
                hits.iter().enumerate().map(|(line, packets)| hit(line + 1, *packets)).collect();
            lines.read(generation, all.into_iter(), name)
        };
        let first = read(1, &hits);
        assert_eq!(first.len(), MOST + 1);
        // Lines 201 to 300 have 100, 99, … 1.
        assert_eq!(
            (packets(&first, "200"), packets(&first, "201"), packets(&first, "other")),
            (Some(101), None, Some(5050))
        );
        // The last line overtakes the others: it gets a series, and line 200 loses its own.
        hits[299] = 1000;
        let second = read(1, &hits);
        assert_eq!(
            (packets(&second, "300"), packets(&second, "200"), packets(&second, "other")),
            (Some(1000), None, Some(5050))
        );
        hits[249] += 3;
        assert_eq!(packets(&read(1, &hits), "other"), Some(5053), "line 250 has no series");
        // Another policy, in which every number is another line's.
        hits.rotate_left(150);
        assert_eq!(packets(&read(2, &hits), "other"), Some(5053));
        hits[100] += 5;
        assert_eq!(
            packets(&read(2, &hits[..10]), "other"),
            Some(5053),
            "lines that are gone take nothing with them"
        );
    }
}
