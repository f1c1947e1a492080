//! Who judges a frame: the XDP program in the kernel, or the same code on the host.

use crate::{
    bpf::{Guard, Object},
    cli::EngineChoice,
    compile::Image,
};
use anyhow::{Context as _, Result, ensure};
use ntpguard_common::{Action, Decision, Reason, Verdict, abi::CAUSES, decide};

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Passed or dropped.
    pub action: Action,
    /// Why; `None` if it is nothing to judge: not to UDP port 123, or cut short.
    pub reason: Option<Reason>,
    /// The rule that a counter names as the cause, by its place in [`Image::rules`].
    pub rule: Option<usize>,
}

/// Who judges.
pub enum Engine {
    /// The XDP program.
    Kernel(Box<Kernel>),
    /// The host.
    Host,
}

/// A program that isn't attached anywhere.
pub struct Kernel {
    guard: Guard,
    room: usize,
    installed: Option<Image>,
}

impl Engine {
    /// The one that is chosen.
    ///
    /// # Errors
    /// The kernel is chosen, and refuses.
    pub fn new(choice: EngineChoice) -> Result<Self> {
        match choice {
            EngineChoice::Host => Ok(Self::Host),
            EngineChoice::Auto => {
                Ok(Kernel::with_room(64).map_or(Self::Host, |kernel| Self::Kernel(Box::new(kernel))))
            }
            EngineChoice::Kernel => Ok(Self::Kernel(Box::new(Kernel::with_room(64)?))),
        }
    }

    /// Its name in outputs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Kernel(_) => "kernel",
            Self::Host => "host",
        }
    }

    /// Judges a frame by an image.
    ///
    /// # Errors
    /// The kernel refuses the image or the frame.
    pub fn judge(&mut self, image: &Image, frame: &[u8]) -> Result<Judged> {
        match self {
            Self::Kernel(kernel) => kernel.judge(image, frame),
            Self::Host => Ok(on_host(image, frame)),
        }
    }
}

fn on_host(image: &Image, frame: &[u8]) -> Judged {
    let decision = decide(frame, image);
    let (reason, rule) = match decision {
        Decision::Judged(Verdict { reason, rule, .. }) => (Some(reason), Some(rule)),
        Decision::NotNtp | Decision::Truncated => (None, None),
    };
    let caused = reason.is_some_and(|reason| CAUSES.contains(&reason));
    let rule = rule.map(|rule| rule as usize).filter(|rule| caused && *rule < image.rules.len());
    Judged { action: decision.action(), reason, rule }
}

impl Kernel {
    fn with_room(room: usize) -> Result<Self> {
        Ok(Self { guard: Guard::load(Object::Filter, room)?, room, installed: None })
    }

    fn judge(&mut self, image: &Image, frame: &[u8]) -> Result<Judged> {
        if image.rules.len() > self.room {
            *self = Self::with_room(image.rules.len().next_power_of_two())?;
        }
        if self.installed.as_ref() != Some(image) {
            self.guard.install(image)?;
            self.installed = Some(image.clone());
        }
        let before = self.guard.counters(image.rules.len())?;
        let run = self.guard.test_run(frame, 1, None).context("the kernel doesn't run the frame")?;
        let counted = self.guard.counters(image.rules.len())?.since(&before);
        let moved: Vec<_> = Reason::ALL.iter().filter(|reason| counted.of(**reason).packets > 0).collect();
        ensure!(moved.len() <= 1, "one frame moved {} counters", moved.len());
        let hit = counted.hits.iter().position(|hits| hits.packets > 0);
        Ok(Judged {
            action: run.action,
            reason: moved.first().map(|reason| **reason),
            rule: hit.map(|hit| hit / CAUSES.len()),
        })
    }
}
