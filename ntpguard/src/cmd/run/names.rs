//! `ntpguard run` on names: looks them up again, at an interval, and sooner while one has no answer.

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

/// How long a look-up may take: longer than the system's resolver tries one server.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(20);
/// How soon it is tried again after one that failed; twice as long each time.
const SOON: Duration = Duration::from_secs(5);
/// By how many names the next look-up begins further on: as many as those that answer nothing may hold up.
const FURTHER: usize = 16;

/// The look-ups to come.
pub(super) struct LookUps {
    interval: Duration,
    /// How long to wait after one that fails.
    wait: Duration,
    due: Instant,
    /// How many names had no answer the last time.
    failing: usize,
    /// With which name it begins.
    first: usize,
    /// How many names are being looked up, and what becomes of them.
    task: Option<(usize, Receiver<Answers>)>,
}

/// What came of one.
pub(super) struct Asked {
    names: usize,
    answers: Answers,
}

impl LookUps {
    /// Those after a reading of the file. The first one comes soon: at boot the network may not have been there yet.
    pub(super) fn new(interval: Duration) -> Self {
        let wait = SOON.min(interval);
        Self { interval, wait, due: Instant::now() + wait, failing: 0, first: 0, task: None }
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

/// Looks names up beside what else there is to do. Where there is no thread to be had, nothing is answered: it is tried
/// again, as after any other failure.
fn look_up(names: Vec<String>) -> Receiver<Answers> {
    let (tell, told) = channel();
    let task = || {
        // Where no worker can be hired, it asks itself, and needs no rights for it.
        let _ = sandbox::keep(&[]);
        // Whoever has asked may have read the file again meanwhile.
        let _ = tell.send(resolve::look_up(names, LOOKUP_TIMEOUT));
    };
    let _ = thread::Builder::new().name("names".to_owned()).spawn(task);
    told
}
