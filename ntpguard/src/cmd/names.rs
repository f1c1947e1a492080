//! `ntpguard run` on names: looks them up again, at an interval, and sooner while one has no answer.

use crate::{
    resolve::{self, Answers, Moved},
    service::Service,
    writer::{tell, warn},
};
use std::time::Duration;
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep_until},
};

/// How long a look-up may take: longer than the system's resolver tries one server.
const PATIENCE: Duration = Duration::from_secs(20);
/// How soon it is tried again after one that failed; twice as long each time.
const SOON: Duration = Duration::from_secs(5);

/// The look-ups to come.
pub(super) struct LookUps {
    interval: Duration,
    /// How long to wait after one that fails.
    wait: Duration,
    due: Instant,
    /// How many names had no answer the last time.
    failing: usize,
    /// How many names are being looked up, and what becomes of them.
    task: Option<(usize, JoinHandle<Answers>)>,
}

/// What came of one.
pub(super) struct Asked {
    names: usize,
    answers: Answers,
}

impl LookUps {
    /// The first one comes soon: at boot the network may not have been there yet.
    pub(super) fn new(interval: Duration) -> Self {
        let wait = SOON.min(interval);
        Self { interval, wait, due: Instant::now() + wait, failing: 0, task: None }
    }

    /// Waits for the next one. Nothing is lost if this is dropped meanwhile.
    pub(super) async fn answers(&mut self, names: impl Fn() -> Vec<String>) -> Asked {
        loop {
            if let Some((names, task)) = &mut self.task {
                let answers = task.await.unwrap_or_default();
                let names = *names;
                self.task = None;
                return Asked { names, answers };
            }
            sleep_until(self.due).await;
            let names = names();
            self.task = Some((names.len(), spawn_blocking(|| resolve::look_up(names, PATIENCE))));
        }
    }

    /// How many names had no answer the last time.
    pub(super) fn failing(&self) -> usize {
        self.failing
    }

    /// Puts what came of it in force, and says when the next one is.
    pub(super) fn learn(&mut self, service: &mut Service, Asked { names, answers }: Asked) {
        self.failing = names.saturating_sub(answers.len());
        if self.failing > 0 {
            self.due = Instant::now() + self.wait;
            self.wait = (self.wait * 2).min(self.interval);
        } else {
            self.due = Instant::now() + self.interval;
            self.wait = SOON.min(self.interval);
        }
        match service.learn(answers) {
            Ok(Some((moved, change))) => {
                for Moved { name, added, removed } in moved {
                    tell(format_args!("{name} has other addresses: +{added} \u{2212}{removed}"));
                }
                tell(format_args!("{change}"));
            }
            Ok(None) => (),
            Err(error) => {
                warn(format_args!("can't follow names: {error:#}; still guarding by their old addresses"));
            }
        }
    }
}
