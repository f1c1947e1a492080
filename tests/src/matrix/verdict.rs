//! The verdicts on steps, and the results of runs.

use std::time::Duration;

/// The verdict on a step of a card's course.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Everything was as it should be: nothing leaked, time was served, and predictions were right.
    Held,
    /// Something was wrong, and ntpguard reported it.
    Said,
    /// QEMU or the driver doesn't support it.
    NotRun,
    /// A prediction or a message was wrong, or something expected didn't happen.
    Wrong,
    /// Something differs from the state before ntpguard was attached.
    Changed,
    /// Traffic was lost that shouldn't be dropped.
    Lost,
    /// A query was answered while ntpguard reported the interface as guarded.
    Leaked,
}

impl Verdict {
    /// The verdict as a word in tables; those in capitals fail the run.
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

    /// Whether the verdict fails the run.
    pub const fn fails(self) -> bool {
        !matches!(self, Self::Held | Self::Said | Self::NotRun)
    }
}

/// A step, with its verdict and the figures behind it.
#[derive(Clone, Debug)]
pub struct Step {
    /// The name of the event.
    pub name: &'static str,
    /// The verdict.
    pub verdict: Verdict,
    /// Figures and messages, in one line.
    pub note: String,
}

/// The run of a card on a kernel, from boot to end.
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
    /// Time from the start of QEMU until the guest accepted scripts.
    pub boot: Duration,
    /// Time from the start of QEMU to the end of the run.
    pub took: Duration,
}

impl Run {
    /// Whether the verdict on any step fails the run.
    pub fn fails(&self) -> bool {
        self.steps.iter().any(|step| step.verdict.fails())
    }
}
