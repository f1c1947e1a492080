//! Whether a guard is on trial, according to the last `ntpguard enforce` or `ntpguard monitor` since its start.
//!
//! The answer is a file beside the state, written by these verbs and read by the process that looks after the filter. It may
//! have a time at which the trial begins again by itself.

use crate::host::{self, access::Readers, atomic_file};
use anyhow::Result;
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// The last answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Trial {
    /// Whether everything passes.
    pub monitor: bool,
    /// When the trial begins again unless another answer is given before: milliseconds since boot (`CLOCK_BOOTTIME`).
    pub until: Option<u128>,
}

impl Trial {
    /// Dropping, for good or for a time.
    pub fn enforcing(time: Option<Duration>) -> Self {
        Self { monitor: false, until: time.map(|time| (now() + time).as_millis()) }
    }

    /// Whether everything passes now.
    pub fn is_trial(&self) -> bool {
        self.monitor || self.until.is_some_and(|until| now().as_millis() >= until)
    }

    /// The last answer; `None` if there is none, or the file can't be read.
    pub fn load(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&host::file::read(&file(folder), host::file::KEPT).ok()?).ok()
    }

    /// Saves the answer.
    ///
    /// # Errors
    /// The folder can't be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        atomic_file::write(&file(folder), self, &Readers::default())
    }

    /// Removes the answer.
    pub fn forget(folder: &Path) {
        // Usually there is none.
        let _ = fs::remove_file(file(folder));
    }
}

/// What begins, in words.
pub const fn words(trial: bool) -> &'static str {
    if trial {
        "a trial: everything passes, and what would be dropped is counted"
    } else {
        "what the policy refuses is dropped from now on"
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("trial.json")
}

/// The time since boot: the daemon steps the realtime clock.
fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_last_counts_until_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let said = |trial: Trial| {
            trial.save(folder.path()).unwrap();
            Trial::load(folder.path()).unwrap()
        };
        assert_eq!(Trial::load(folder.path()), None);
        assert!(said(Trial { monitor: true, until: None }).is_trial());
        assert!(!said(Trial::enforcing(None)).is_trial());
        assert!(!said(Trial::enforcing(Some(Duration::from_secs(60)))).is_trial());
        assert!(said(Trial { monitor: false, until: Some(1) }).is_trial());
        Trial::forget(folder.path());
        assert_eq!(Trial::load(folder.path()), None);
    }
}
