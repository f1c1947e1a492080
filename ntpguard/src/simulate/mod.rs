//! Who judges a frame: the XDP program in the kernel, or the same code on the host.

mod engine_choice;
pub mod frame;
pub mod model;
pub mod replay;

pub use engine_choice::EngineChoice;

use crate::{
    bpf::{Guard, Object, Size},
    compile::Image,
    policy::limiter::Clock,
    simulate::model::Model,
};
use anyhow::{Context as _, Result, ensure};
use ntpguard_common::{Action, Decision, Reason, Verdict, abi::CAUSES};
use std::time::Duration;

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Passed, dropped or answered.
    pub action: Action,
    /// Why; `None` if it is nothing to judge: not to UDP port 123, or cut short.
    pub reason: Option<Reason>,
    /// The rule that a counter names as the cause, by its place in [`Image::rules`].
    pub rule: Option<usize>,
}

/// The same frame again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Train {
    /// How many.
    pub count: u32,
    /// The time between two.
    pub every: Duration,
}

impl Train {
    /// A frame that comes once.
    pub const ONE: Self = Self { count: 1, every: Duration::ZERO };
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
                Ok(Kernel::load(Size::new(1)).map_or(Self::Host, |kernel| Self::Kernel(Box::new(kernel))))
            }
            EngineChoice::Kernel => Ok(Self::Kernel(Box::new(Kernel::load(Size::new(1))?))),
        }
    }

    /// Its name in outputs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Kernel(_) => "kernel",
            Self::Host => "host",
        }
    }

    /// Judges the last of a train of frames from a source that wasn't heard before. A train takes the host, whose clock
    /// can be set.
    ///
    /// # Errors
    /// The kernel refuses the image or the frame.
    pub fn judge_train(&mut self, image: &Image, frame: &[u8], train: Train) -> Result<Judged> {
        let Train { count, every } = train;
        if count <= 1 {
            return self.judge(image, frame);
        }
        *self = Self::Host;
        let model = Model::new(image, Clock::IDEAL, 1);
        for _ in 1..count {
            model.judge(image, frame);
            model.pass(every);
        }
        Ok(Judged::new(image, model.judge(image, frame)))
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
    // The first packet of a source.
    Judged::new(image, Model::new(image, Clock::IDEAL, 1).judge(image, frame))
}

impl Judged {
    /// What a decision comes to.
    pub fn new(image: &Image, decision: Decision) -> Self {
        let (reason, rule) = match decision {
            Decision::Judged(Verdict { reason, rule, .. }) => (Some(reason), Some(rule)),
            Decision::NotNtp | Decision::Truncated => (None, None),
        };
        let caused = reason.is_some_and(|reason| CAUSES.contains(&reason));
        let rule = rule.map(|rule| rule as usize).filter(|rule| caused && *rule < image.rules.len());
        Self { action: decision.action(), reason, rule }
    }
}

impl Kernel {
    fn load(size: Size) -> Result<Self> {
        Ok(Self { guard: Guard::load(Object::Filter, size)?, installed: None })
    }

    fn judge(&mut self, image: &Image, frame: &[u8]) -> Result<Judged> {
        if image.counters.total() > self.guard.maps.room() {
            *self = Self::load(Size::of(image, 1))?;
        }
        if self.installed.as_ref() != Some(image) {
            self.guard.install(image)?;
            self.installed = Some(image.clone());
        }
        // The first packet of a source, whatever was asked before.
        self.guard.maps.forget()?;
        let before = self.guard.maps.counters(true)?;
        let run = self.guard.test_run(frame, 1, None).context("the kernel doesn't run the frame")?;
        let counted = self.guard.maps.counters(true)?.since(&before);
        let moved: Vec<_> = Reason::ALL.iter().filter(|reason| counted.of(**reason).packets > 0).collect();
        ensure!(moved.len() <= 1, "one frame moved {} counters", moved.len());
        let hit = counted.done.hits.iter().position(|hits| hits.packets > 0);
        Ok(Judged {
            action: run.action,
            reason: moved.first().map(|reason| **reason),
            rule: hit.map(|hit| hit / CAUSES.len()),
        })
    }
}
