//! The results of looks without any program.

use super::outside::Count;

/// The number of requests that were answered in the worst and in the best look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spread {
    /// Number of requests sent in each look.
    pub(super) sent: usize,
    /// The fewest answers.
    pub(super) least: usize,
    /// The most answers.
    pub(super) most: usize,
}

impl Spread {
    /// The spread over several looks.
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

    /// Whether a look had unanswered requests.
    pub(super) const fn lossy(self) -> bool {
        self.least < self.sent
    }

    /// The spread as text.
    pub(super) fn words(self) -> String {
        let Self { sent, least, most } = self;
        match least == most {
            true => format!("without a program {least}/{sent}"),
            false => format!("without a program {least} to {most} of {sent}"),
        }
    }
}

/// A card's behaviour without any program.
#[derive(Clone, Debug, Default)]
pub(super) struct Baseline {
    /// Answers to time requests while the MTU allows long frames.
    pub(super) time: Spread,
    /// Answers to long frames.
    pub(super) long: Spread,
    /// Why a change of the number of channels can't be tested, if it can't.
    pub(super) channels: Option<String>,
}
