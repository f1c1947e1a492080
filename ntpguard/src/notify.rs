//! What the service manager is told (sd_notify(3)); nothing, where none listens.

use sd_notify::NotifyState;
use std::{
    io,
    time::{Duration, Instant},
};

/// The service manager.
pub(crate) struct Manager {
    /// How often it wants a sign of life, halved: one may come late.
    watchdog: Option<Duration>,
    last: Instant,
}

impl Manager {
    /// The one that started this process, if one did.
    pub(crate) fn new() -> Self {
        Self { watchdog: sd_notify::watchdog_enabled().map(|time| time / 2), last: Instant::now() }
    }

    /// How often to call [`Manager::alive`], if at least this often.
    pub(crate) fn pace(&self, at_least: Duration) -> Duration {
        self.watchdog.map_or(at_least, |watchdog| watchdog.clamp(Duration::from_millis(1), at_least))
    }

    /// It guards; and so.
    pub(crate) fn ready(&self, status: &str) {
        send(&[NotifyState::Ready, NotifyState::Status(first_line(status))]);
    }

    /// It lives: to be told from the loop that does the work.
    pub(crate) fn alive(&mut self) {
        if let Some(watchdog) = self.watchdog
            // A tick that comes a little early isn't a reason to wait for the next one.
            && self.last.elapsed() >= watchdog.mul_f64(0.9)
        {
            self.last = Instant::now();
            send(&[NotifyState::Watchdog]);
        }
    }

    /// It reads its configuration, until it is [`Manager::ready`].
    pub(crate) fn reloading(&self) {
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            send(&[NotifyState::Reloading, now]);
        }
    }

    /// It ends.
    pub(crate) fn stopping(&self) {
        send(&[NotifyState::Stopping]);
    }
}

/// A line that breaks would be another assignment.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn send(states: &[NotifyState<'_>]) {
    // A manager that doesn't listen is no reason not to guard.
    let _: io::Result<()> = sd_notify::notify(states);
}
