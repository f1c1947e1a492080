//! How many drops are sampled, and how many packets each sample stands for.
//!
//! Contract: no more events a second than the rate, whatever floods; a reason with few drops isn't lost beside one with
//! many; and the events of a reason together stand for exactly what its counter says.

use ntpguard_common::{Action, Reason, sample::NEVER};
use std::{array, time::Duration};

/// A value for each [`Reason::index`].
pub(super) type ByReason<T> = [T; Reason::COUNT];

/// The reasons for drops and for answers.
pub(super) fn drops() -> impl Iterator<Item = Reason> {
    Reason::ALL.iter().copied().filter(|reason| reason.action() != Action::Pass)
}

/// Keeps to a rate of events.
pub(super) struct Pace {
    rate: u32,
    /// How many events may still come; negative if more have come than were allowed.
    left: f64,
}

impl Pace {
    /// Allows at most `rate` events a second.
    pub(super) fn new(rate: u32) -> Self {
        Self { rate, left: 0.0 }
    }

    /// How many events may come next, after a time `gone` in which `came` events arrived.
    pub(super) fn budget(&mut self, gone: Duration, came: usize) -> u64 {
        // What wasn't used is forfeited, except for a fraction of an event; after a longer pause at most a second's worth is
        // due.
        let due = f64::from(self.rate) * gone.as_secs_f64().min(1.0);
        self.left = (self.left - came as f64 + due).min(due + 1.0);
        self.left.max(0.0) as u64
    }

    /// The shift by which to sample each reason, expecting as many drops as in the time before, for a budget of events. The
    /// budget is divided equally among the reasons, and what one doesn't need is left for the others.
    pub(super) fn shifts(&self, before: &ByReason<u64>, budget: u64) -> ByReason<u32> {
        let mut shifts = [NEVER; Reason::COUNT];
        if self.rate == 0 {
            return shifts;
        }
        let mut order: Vec<_> = drops().map(|reason| (before[reason.index() as usize], reason)).collect();
        order.sort_unstable_by_key(|(count, _)| *count);
        let (mut left, mut reasons) =
            (budget.max(1), order.iter().filter(|(count, _)| *count > 0).count() as u64);
        for (count, reason) in order {
            // A reason that was silent is sampled from its first drop on; if it becomes a flood, the filter's budget limits
            // it.
            let shift = if count == 0 { 0 } else { shift(count, (left / reasons).max(1)) };
            shifts[reason.index() as usize] = shift;
            if count > 0 {
                left = left.saturating_sub(count >> shift);
                reasons -= 1;
            }
        }
        shifts
    }
}

/// The least shift by which at most `most` of `count` drops are sampled.
fn shift(count: u64, most: u64) -> u32 {
    (0..NEVER).find(|shift| count >> shift <= most).unwrap_or(NEVER - 1)
}

/// Divides what was counted among the samples.
pub(super) struct Shares {
    /// Drops that no event stands for yet.
    waiting: ByReason<u64>,
}

impl Shares {
    pub(super) fn new() -> Self {
        Self { waiting: [0; Reason::COUNT] }
    }

    /// Adds what was counted.
    pub(super) fn count(&mut self, counted: &ByReason<u64>) {
        self.waiting = array::from_fn(|reason| self.waiting[reason] + counted[reason]);
    }

    /// Takes the drops that no event stands for yet, for an event that was held back.
    pub(super) fn rest(&mut self, reason: Reason) -> u32 {
        let waiting = &mut self.waiting[reason.index() as usize];
        let rest = (*waiting).min(u32::MAX.into());
        *waiting -= rest;
        rest as u32
    }

    /// How many packets each of `events` samples of a reason stands for: equal shares, and at least 1.
    pub(super) fn of(&mut self, reason: Reason, events: usize) -> impl Iterator<Item = u32> + use<> {
        let (waiting, events) = (&mut self.waiting[reason.index() as usize], events as u64);
        let (each, more) =
            (waiting.checked_div(events).unwrap_or(0), waiting.checked_rem(events).unwrap_or(0));
        if events > 0 {
            *waiting = 0;
        }
        // Counters are read after the ring, so a share below 1 occurs only if the counters were reset.
        (0..events).map(move |event| (each + u64::from(event < more)).clamp(1, u32::MAX.into()) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &[(Reason, u64)]) -> ByReason<u64> {
        let mut counts = [0; Reason::COUNT];
        of.iter().for_each(|(reason, count)| counts[reason.index() as usize] = *count);
        counts
    }

    #[test]
    fn a_flood_leaves_room_for_the_rest() {
        let pace = Pace::new(1000);
        let before = counts(&[(Reason::Mode7, 1_400_000), (Reason::Ignore, 3), (Reason::Noquery, 500)]);
        let shifts = pace.shifts(&before, 100);
        let of = |reason: Reason| shifts[reason.index() as usize];
        assert_eq!((of(Reason::Ignore), of(Reason::Noquery), of(Reason::Mode7)), (0, 4, 15));
        let drawn: u64 = drops().map(|reason| before[reason.index() as usize] >> of(reason)).sum();
        assert!(drawn <= 100, "{drawn}");
        assert_eq!((of(Reason::Mode6), of(Reason::Time)), (0, NEVER));
        assert_eq!(Pace::new(0).shifts(&before, 0), [NEVER; Reason::COUNT]);
        // All reasons at once, with one event for all of them.
        let all = [u64::MAX; Reason::COUNT];
        assert!(pace.shifts(&all, 1).iter().all(|shift| *shift >= NEVER - 1));
    }

    #[test]
    fn a_budget_is_the_rate_and_no_more() {
        let mut pace = Pace::new(3);
        let tick = Duration::from_millis(100);
        let (mut spent, mut last) = (0, 0);
        for _ in 0..100 {
            last = pace.budget(tick, last) as usize;
            spent += last;
        }
        assert!((28..=30).contains(&spent), "{spent} of 30 in 10 s");
        assert!(pace.budget(Duration::from_secs(3600), 0) <= 4);
        // Events beyond the budget are taken off the next one.
        let mut pace = Pace::new(1000);
        assert_eq!((pace.budget(tick, 0), pace.budget(tick, 190), pace.budget(tick, 0)), (100, 10, 101));
    }

    #[test]
    fn events_stand_for_all_that_was_counted() {
        let mut shares = Shares::new();
        shares.count(&counts(&[(Reason::Mode7, 1003)]));
        // None was sampled yet.
        assert_eq!(shares.of(Reason::Mode7, 0).sum::<u32>(), 0);
        shares.count(&counts(&[(Reason::Mode7, 1000)]));
        let each: Vec<_> = shares.of(Reason::Mode7, 4).collect();
        assert_eq!(each, [501, 501, 501, 500]);
        assert_eq!(shares.of(Reason::Mode7, 2).collect::<Vec<_>>(), [1, 1]);
        shares.count(&counts(&[(Reason::Mode7, 7)]));
        assert_eq!((shares.rest(Reason::Mode7), shares.rest(Reason::Mode7)), (7, 0));
    }
}
