//! What came of looks without any program.

use super::outside::Count;

/// How many requests of one look were answered, at the worst and at the best look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spread {
    /// How many were sent each time.
    pub(super) sent: usize,
    /// The fewest answers.
    pub(super) least: usize,
    /// The most answers.
    pub(super) most: usize,
}

impl Spread {
    /// Of several looks.
    pub(super) fn of(counts: &[Count]) -> Self {
        let served = || counts.iter().map(|count| count.served);
        let sent = counts.first().map_or(0, |count| count.sent);
        Self { sent, least: served().min().unwrap_or(0), most: served().max().unwrap_or(0) }
    }

    /// Adds a later look.
    pub(super) fn add(&mut self, count: Count) {
        self.least = self.least.min(count.served);
        self.most = self.most.max(count.served);
    }

    /// Whether some had no answer.
    pub(super) const fn lossy(self) -> bool {
        self.least < self.sent
    }

    /// In words.
    pub(super) fn words(self) -> String {
        let Self { sent, least, most } = self;
        match least == most {
            true => format!("without a program {least}/{sent}"),
            false => format!("without a program {least} to {most} of {sent}"),
        }
    }
}

/// What a card does without any program.
#[derive(Clone, Debug, Default)]
pub(super) struct Baseline {
    /// Time requests, with long frames allowed.
    pub(super) time: Spread,
    /// Long frames.
    pub(super) long: Spread,
    /// Why there is nothing to see when the number of channels is changed, if so.
    pub(super) channels: Option<String>,
}
