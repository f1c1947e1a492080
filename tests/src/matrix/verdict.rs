//! What a step came to.

use std::time::Duration;

/// What a step of a card's course came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// All is as it should be: nothing leaked, time was served, what was promised came.
    Held,
    /// Something didn't hold, and ntpguard said so.
    Said,
    /// QEMU or the driver has no such thing.
    NotRun,
    /// A prediction or a message wasn't true, or something that was due didn't come.
    Wrong,
    /// Something isn't as it was before ntpguard was attached.
    Changed,
    /// Traffic that isn't to be dropped was lost.
    Lost,
    /// A query was answered while the interface was shown as guarded.
    Leaked,
}

impl Verdict {
    /// The word in tables; those in capitals fail the run.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Said => "said",
            Self::NotRun => "not run",
            Self::Wrong => "WRONG",
            Self::Changed => "CHANGED",
            Self::Lost => "LOST",
            Self::Leaked => "LEAKED",
        }
    }

    /// Whether it fails the run.
    pub const fn fails(self) -> bool {
        !matches!(self, Self::Held | Self::Said | Self::NotRun)
    }
}

/// A step, what it came to, and the figures behind it.
#[derive(Clone, Debug)]
pub struct Step {
    /// What happened.
    pub name: &'static str,
    /// What it came to.
    pub verdict: Verdict,
    /// Figures, and what was said: one line.
    pub note: String,
}

/// A card on a kernel, from boot to the end.
#[derive(Clone, Debug)]
pub struct Run {
    /// The kernel's series.
    pub kernel: String,
    /// The kind of card.
    pub card: super::card::Card,
    /// How `run --xdp-mode auto` attached: `native` or `generic`.
    pub mode: Option<String>,
    /// The steps in their order.
    pub steps: Vec<Step>,
    /// From the start of QEMU until the guest took orders.
    pub boot: Duration,
    /// From the start of QEMU to the end.
    pub took: Duration,
}

impl Run {
    /// Whether a step fails it.
    pub fn fails(&self) -> bool {
        self.steps.iter().any(|step| step.verdict.fails())
    }
}
