//! The look-ups of names by `ntpguard run`: at an interval, and sooner while a name has no answer.

use crate::{
    guard::Service,
    host::{
        log::{tell, warn},
        sandbox,
    },
    policy::resolve::{self, Answers},
};
use std::{thread, time::Duration};
use tokio::{
    sync::oneshot::{Receiver, channel},
    time::{Instant, sleep_until},
};

/// Time limit of a look-up: longer than the system's resolver tries one server.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(20);
/// How soon a failed look-up is repeated; the time doubles with each failure.
const SOON: Duration = Duration::from_secs(5);
/// By how many names the start of each look-up is rotated: as many as unanswered names may hold up at once.
const FURTHER: usize = 16;

/// The schedule of look-ups.
pub(super) struct LookUps {
    interval: Duration,
    /// How long to wait after the next one that fails.
    wait: Duration,
    due: Instant,
    /// How many names had no answer the last time.
    failing: usize,
    /// The number of the name with which the next look-up begins.
    first: usize,
    /// The look-up in progress: how many names it has, and the channel for its answers.
    task: Option<(usize, Receiver<Answers>)>,
}

/// The result of a look-up.
pub(super) struct Asked {
    names: usize,
    answers: Answers,
}

impl LookUps {
    /// The schedule after the configuration was read. The first look-up comes soon: at boot the network may not have been up yet.
    pub(super) fn new(interval: Duration) -> Self {
        let wait = SOON.min(interval);
        Self { interval, wait, due: Instant::now() + wait, failing: 0, first: 0, task: None }
    }

    /// Waits for the next look-up's result. Cancel-safe: nothing is lost if the future is dropped.
    pub(super) async fn answers(&mut self, names: impl Fn() -> Vec<String>) -> Asked {
        loop {
            if let Some((names, task)) = &mut self.task {
                let answers = task.await.unwrap_or_default();
                let names = *names;
                self.task = None;
                return Asked { names, answers };
            }
            sleep_until(self.due).await;
            let mut names = names();
            let count = names.len();
            names.rotate_left(self.first % count.max(1));
            self.first = self.first.wrapping_add(FURTHER);
            self.task = Some((count, look_up(names)));
        }
    }

    /// How many names had no answer the last time.
    pub(super) fn failing(&self) -> usize {
        self.failing
    }

    /// Puts the answers in force, and schedules the next look-up.
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
                moved.iter().for_each(|moved| tell(format_args!("{moved}")));
                tell(format_args!("{change}"));
            }
            Ok(None) => (),
            Err(error) => {
                warn(format_args!("can't follow names: {error:#}; still guarding by their old addresses"));
            }
        }
    }
}

/// Looks names up on another thread. If the thread can't be started, there are no answers, and the look-up is repeated as
/// after any other failure.
fn look_up(names: Vec<String>) -> Receiver<Answers> {
    let (tell, told) = channel();
    let task = || {
        // If `look_up` can't start a worker, it resolves the names on this thread, which needs no rights for that.
        let _ = sandbox::keep(&[]);
        // The receiver may be gone, as after a reload.
        let _ = tell.send(resolve::look_up(names, LOOKUP_TIMEOUT));
    };
    let _ = thread::Builder::new().name("names".to_owned()).spawn(task);
    told
}
