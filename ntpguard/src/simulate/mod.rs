//! Judges frames without traffic: by the XDP program in the kernel, or by the same code on the host.

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

/// The verdict on a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Whether it is passed, dropped or answered.
    pub action: Action,
    /// Why; `None` if there is nothing to judge: the packet isn't for UDP port 123, or is cut short.
    pub reason: Option<Reason>,
    /// The index in [`Image::rules`] of the rule that the drop is counted for.
    pub rule: Option<usize>,
}

/// The same frame several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Train {
    /// How many times.
    pub count: u32,
    /// The time between two frames.
    pub every: Duration,
}

impl Train {
    /// A single frame.
    pub const ONE: Self = Self { count: 1, every: Duration::ZERO };
}

/// An engine that judges frames.
pub enum Engine {
    /// The XDP program.
    Kernel(Box<Kernel>),
    /// The same code on the host.
    Host,
}

/// An XDP program that isn't attached to any interface.
pub struct Kernel {
    guard: Guard,
    installed: Option<Image>,
}

impl Engine {
    /// The engine for a choice.
    ///
    /// # Errors
    /// The kernel was chosen, and refuses the program.
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

    /// Judges the last frame of a train from a source that wasn't seen before. A train needs the host, because its clock can
    /// be set; the engine changes to it.
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

    /// Judges a frame by an image, as the first one from its source.
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
    // A new model, for which this is the first packet of the source.
    Judged::new(image, Model::new(image, Clock::IDEAL, 1).judge(image, frame))
}

impl Judged {
    /// The result of a decision.
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
            self.guard.maps.forget_associations()?;
            self.guard.install(image)?;
            self.installed = Some(image.clone());
        }
        // Every frame counts as the first one from its source, whatever was judged before.
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
