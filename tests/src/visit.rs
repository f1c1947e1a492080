//! Runs `ntpguard doctor` and reads its report.

use crate::{guard::binary, netns::Netns};
use serde_json::Value;
use std::process::{Command, Output};

/// Lines that allow ntpq on the host itself, by which the lab waits for the daemon.
pub const LOCAL: &str = "restrict 127.0.0.1\nrestrict ::1\n";

/// The result of a run of `ntpguard doctor`.
pub struct Visit {
    /// The exit code.
    pub code: i32,
    /// The report as JSON.
    pub report: Value,
}

impl Visit {
    /// Parses the output of a command that runs `doctor` with JSON.
    pub fn from(output: Output) -> Self {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("panicked"), "{said}");
        let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
        Self { code: output.status.code().unwrap(), report }
    }

    /// Runs `doctor` in a namespace, with these options.
    pub fn pay(host: &Netns, options: &[&str]) -> Self {
        Self::from(command(host, options).output().unwrap())
    }

    /// All findings of a check.
    pub fn all(&self, check: &str) -> Vec<&Value> {
        self.report["checks"].as_array().unwrap().iter().filter(|found| found["check"] == check).collect()
    }

    /// Status and message of a check that has exactly one finding.
    pub fn of(&self, check: &str) -> (&str, &str) {
        let all = self.all(check);
        assert_eq!(all.len(), 1, "{check}: {:#}", self.report);
        (all[0]["status"].as_str().unwrap(), all[0]["message"].as_str().unwrap())
    }
}

/// The command that runs `doctor` with JSON.
pub fn command(host: &Netns, options: &[&str]) -> Command {
    let mut command = host.command(binary().unwrap());
    command.args(["doctor", "--format", "json"]).args(options);
    command
}
