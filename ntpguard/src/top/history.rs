//! The last minutes, for the plot.

use std::{collections::VecDeque, time::Duration};

/// What is plotted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Packets a second to the daemon.
    pub passed: f64,
    /// Packets a second that were dropped.
    pub dropped: f64,
    /// Those of them that were beyond the rate limit.
    pub limited: f64,
}

/// How much of the past is plotted: as long as somebody who was called needs to come.
const WINDOW: Duration = Duration::from_secs(180);
/// Fewer would be no plot, and more is more than any terminal has columns.
const LENGTHS: (u32, u32) = (60, 1800);

/// The rates of the last readings.
#[derive(Clone, Debug)]
pub struct History {
    rates: VecDeque<Rates>,
    most: usize,
    interval: Duration,
    /// How many readings there have been, so that columns stay what they are as the plot moves on.
    seen: usize,
}

impl History {
    /// Of readings so far apart.
    pub fn new(interval: Duration) -> Self {
        let most = WINDOW.as_millis() / interval.as_millis().max(1);
        let most = (most as u32).clamp(LENGTHS.0, LENGTHS.1) as usize;
        Self { rates: VecDeque::new(), most, interval, seen: 0 }
    }

    /// One more.
    pub fn push(&mut self, rates: Rates) {
        if self.rates.len() == self.most {
            self.rates.pop_front();
        }
        self.rates.push_back(rates);
        self.seen += 1;
    }

    /// Forgets all: others count from now on.
    pub fn clear(&mut self) {
        self.rates.clear();
        self.seen = 0;
    }

    /// How many seconds are kept.
    pub fn seconds(&self) -> u64 {
        (self.interval * self.most as u32).as_secs()
    }

    /// The highest rate that is kept.
    pub fn peak(&self, which: fn(&Rates) -> f64) -> f64 {
        self.rates.iter().map(which).fold(0.0, f64::max)
    }

    /// At most so many columns, the newest last; each is the highest of the readings that it stands for.
    pub fn columns(&self, which: fn(&Rates) -> f64, width: usize) -> Vec<u64> {
        if width == 0 {
            return Vec::new();
        }
        // One reading may be cut off on either side of a column.
        let each = self.most.div_ceil(width);
        let first = self.seen - self.rates.len();
        let mut columns: Vec<(usize, u64)> = Vec::new();
        for (place, rates) in self.rates.iter().enumerate() {
            let (column, rate) = ((first + place) / each, which(rates).round() as u64);
            match columns.last_mut() {
                Some((last, highest)) if *last == column => *highest = rate.max(*highest),
                _ => columns.push((column, rate)),
            }
        }
        let surplus = columns.len().saturating_sub(width);
        columns.drain(..surplus);
        columns.into_iter().map(|(_, rate)| rate).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dropped(rates: &Rates) -> f64 {
        rates.dropped
    }

    #[test]
    fn old_rates_go_and_columns_stay() {
        let mut history = History::new(Duration::from_secs(1));
        assert!(history.seconds() == 180 && history.columns(dropped, 60).is_empty());
        for second in 0..1000 {
            history.push(Rates { dropped: f64::from(second), ..Rates::default() });
        }
        assert_eq!(history.columns(dropped, 200).len(), 180);
        let narrow = history.columns(dropped, 60);
        assert_eq!((narrow.len(), narrow[59], history.peak(dropped)), (60, 999, 999.0));
        // The next one begins a column or goes into the last: no other column has another height.
        history.push(Rates { dropped: 0.0, ..Rates::default() });
        let next = history.columns(dropped, 60);
        assert!(next[..59].iter().all(|rate| narrow.contains(rate)), "{narrow:?} {next:?}");
        assert!(history.columns(dropped, 0).is_empty());
    }

    #[test]
    fn any_interval_gives_a_plot() {
        assert_eq!(History::new(Duration::from_secs(300)).seconds(), 18_000);
        assert_eq!(History::new(Duration::from_millis(1)).seconds(), 1);
    }
}
