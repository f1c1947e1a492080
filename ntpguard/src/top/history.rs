//! The rates of the last minutes, for the plot.

use std::{collections::VecDeque, time::Duration};

/// The rates that are plotted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Packets a second to the daemon.
    pub passed: f64,
    /// Packets a second that were dropped.
    pub dropped: f64,
    /// Packets a second that were dropped by the rate limit; included in `dropped`.
    pub limited: f64,
}

/// The time that is plotted: as long as somebody who was called takes to arrive.
const WINDOW: Duration = Duration::from_secs(180);
/// The least and greatest number of readings: fewer make no plot, and more have no room in any terminal.
const LENGTHS: (u32, u32) = (60, 1800);

/// The rates of the last readings.
#[derive(Clone, Debug)]
pub struct History {
    rates: VecDeque<Rates>,
    most: usize,
    interval: Duration,
    /// How many readings there have been, so that each column keeps its readings as the plot moves on.
    seen: usize,
}

impl History {
    /// An empty history of readings that are `interval` apart.
    pub fn new(interval: Duration) -> Self {
        let most = WINDOW.as_millis() / interval.as_millis().max(1);
        let most = (most as u32).clamp(LENGTHS.0, LENGTHS.1) as usize;
        Self { rates: VecDeque::new(), most, interval, seen: 0 }
    }

    /// Adds the rates of a reading.
    pub fn push(&mut self, rates: Rates) {
        if self.rates.len() == self.most {
            self.rates.pop_front();
        }
        self.rates.push_back(rates);
        self.seen += 1;
    }

    /// Forgets all rates, because they are from other counters.
    pub fn clear(&mut self) {
        self.rates.clear();
        self.seen = 0;
    }

    /// How many seconds are plotted.
    pub fn seconds(&self) -> u64 {
        (self.interval * self.most as u32).as_secs()
    }

    /// The highest rate in the history.
    pub fn peak(&self, which: fn(&Rates) -> f64) -> f64 {
        self.rates.iter().map(which).fold(0.0, f64::max)
    }

    /// At most `width` columns, the newest last; each is the highest rate of its readings.
    pub fn columns(&self, which: fn(&Rates) -> f64, width: usize) -> Vec<u64> {
        if width == 0 {
            return Vec::new();
        }
        // Rounded up, because a column at either end may have only part of its readings.
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
        // The next reading begins a column or belongs to the last one: no other column changes.
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
