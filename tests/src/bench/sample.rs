//! Repeated measurements. All variants are measured in turn, round after round, so that other load on the machine affects
//! all of them alike. Differences and ratios are taken within a round, and then summarised by medians and quartiles.

use anyhow::Result;
use serde_json::{Value, json};

/// The median and quartiles of a set of values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The lower quartile.
    pub low: f64,
    /// The upper quartile.
    pub high: f64,
}

impl Spread {
    /// The spread of values in any order, none of which is NaN; `None` if there are no values.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        let at = |share| quantile(&values, share);
        Some(Self { median: at(0.5)?, low: at(0.25)?, high: at(0.75)? })
    }

    /// The spread as JSON.
    pub fn json(self) -> Value {
        let Self { median, low, high } = self;
        json!({"median": median, "q1": low, "q3": high})
    }
}

/// The quantile of sorted values, interpolated linearly.
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(below + (above - below) * place.fract())
}

/// The values of every variant in every round.
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    /// The values by variant, then by round.
    values: Vec<Vec<f64>>,
}

impl Rounds {
    /// Measures each of `variants` once in each round. Every other round runs backwards, so that no variant always follows
    /// the same one.
    ///
    /// # Errors
    /// The error of the first measurement that fails.
    pub fn run(
        variants: usize,
        rounds: usize,
        mut measure: impl FnMut(usize) -> Result<f64>,
    ) -> Result<Self> {
        let mut values = vec![Vec::with_capacity(rounds); variants];
        for round in 0..rounds {
            for step in 0..variants {
                let variant = if round % 2 == 0 { step } else { variants - 1 - step };
                values[variant].push(measure(variant)?);
            }
        }
        Ok(Self { values })
    }

    /// The values of one variant.
    pub fn total(&self, variant: usize) -> Option<Spread> {
        Spread::of(self.values[variant].iter().copied())
    }

    /// How much more one variant takes than another in the same round.
    pub fn over(&self, variant: usize, floor: usize) -> Option<Spread> {
        Spread::of(self.pairs(variant, floor).map(|(value, floor)| value - floor))
    }

    /// How many times as much one variant takes as another in the same round.
    pub fn ratio(&self, variant: usize, base: usize) -> Option<Spread> {
        Spread::of(self.pairs(variant, base).map(|(value, base)| value / base))
    }

    /// The ratio of what two variants take over their floors. It is computed from medians, since a single round's
    /// difference may be close to zero.
    pub fn ratio_over(&self, [variant, floor]: [usize; 2], [base, its_floor]: [usize; 2]) -> Option<f64> {
        let (over, base) = (self.over(variant, floor)?.median, self.over(base, its_floor)?.median);
        (base > 0.0).then_some(over / base)
    }

    fn pairs(&self, one: usize, other: usize) -> impl Iterator<Item = (f64, f64)> {
        self.values[one].iter().copied().zip(self.values[other].iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quartiles() {
        let spread = Spread::of([5.0, 1.0, 4.0, 2.0, 3.0]).unwrap();
        assert_eq!(spread, Spread { median: 3.0, low: 2.0, high: 4.0 });
        // Interpolated between two values, and of a single one.
        let spread = Spread::of([10.0, 20.0]).unwrap();
        assert_eq!(spread, Spread { median: 15.0, low: 12.5, high: 17.5 });
        assert_eq!(Spread::of([7.0]).unwrap(), Spread { median: 7.0, low: 7.0, high: 7.0 });
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn variants_take_turns() {
        let mut order = Vec::new();
        let rounds = Rounds::run(3, 3, |variant| {
            order.push(variant);
            Ok(variant as f64)
        });
        assert_eq!(order, [0, 1, 2, 2, 1, 0, 0, 1, 2]);
        assert_eq!(rounds.unwrap().total(2).unwrap().median, 2.0);
        assert!(Rounds::run(2, 2, |_| anyhow::bail!("no")).is_err());
    }

    /// On a machine that becomes ever busier, each round is compared only with itself.
    #[test]
    fn a_drift_falls_out_of_differences() {
        let mut time = 0.0;
        let rounds = Rounds::run(2, 100, |variant| {
            time += 1.0;
            Ok(100.0 * (time / 2.0_f64).ceil() + if variant == 1 { 7.0 } else { 0.0 })
        })
        .unwrap();
        assert_eq!(rounds.over(1, 0).unwrap(), Spread { median: 7.0, low: 7.0, high: 7.0 });
        assert!(rounds.total(1).unwrap().high > 7000.0);
        assert!(rounds.ratio(1, 0).unwrap().median < 1.01);
        assert_eq!(rounds.ratio_over([1, 0], [1, 0]), Some(1.0));
        // There is no ratio to a variant that takes nothing over its floor.
        assert_eq!(rounds.ratio_over([1, 0], [0, 0]), None);
    }
}
