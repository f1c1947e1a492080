//! How attempts to read ntp.conf again have turned out.

use std::time::SystemTime;

/// Attempts since this process began to look after the filter.
#[derive(Clone, Copy, Debug)]
pub struct Reloads {
    /// How many succeeded.
    pub succeeded: u64,
    /// How many failed.
    pub failed: u64,
    /// Whether the last one failed.
    pub failing: bool,
    /// When the last successful attempt was; before the first, when the process began.
    pub last_success: SystemTime,
}

impl Reloads {
    /// No attempts yet: the policy has just been read.
    pub(crate) fn new() -> Self {
        Self { succeeded: 0, failed: 0, failing: false, last_success: SystemTime::now() }
    }

    /// Counts an attempt.
    pub(crate) fn count(&mut self, succeeded: bool) {
        self.failing = !succeeded;
        if succeeded {
            self.succeeded += 1;
            self.last_success = SystemTime::now();
        } else {
            self.failed += 1;
        }
    }
}
