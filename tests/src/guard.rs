//! `ntpguard run` as its users run it: the binary in a namespace, observed through its JSON output.

use crate::netns::{INTERFACE, Netns};
use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
};

/// A running `ntpguard run`; killed when dropped.
pub struct Guarding {
    child: Child,
    lines: BufReader<ChildStdout>,
    /// Its first line of output, which says how it is attached.
    pub attached: Value,
}

/// What is left of an ended `ntpguard run`.
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// Its last line of output, if it wrote one: the totals.
    pub totals: Option<Value>,
    /// Its standard error.
    pub errors: String,
}

impl Guarding {
    /// Starts `ntpguard run` on the lab's interface, and waits until it is attached.
    ///
    /// # Errors
    /// It doesn't attach; the error contains its standard error.
    pub fn start(netns: &Netns, config: &Path, options: &[&str]) -> Result<Self> {
        let mut command = netns.command(binary()?);
        command.args([
            "run",
            "--format",
            "json",
            "--interval",
            "200ms",
            "--interface",
            INTERFACE,
            "--dialect",
            "ntpsec", // the lab's daemon
        ]);
        if !options.iter().any(|option| option.starts_with("--pin-path")) {
            command.arg("--ephemeral");
        }
        command.arg("--config").arg(config).args(options).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("can't start ntpguard")?;
        let mut lines = BufReader::new(child.stdout.take().context("a pipe")?);
        let mut first = String::new();
        lines.read_line(&mut first)?;
        if first.is_empty() {
            let mut errors = String::new();
            child.stderr.take().context("a pipe")?.read_to_string(&mut errors)?;
            bail!("ntpguard ended with {}: {errors}", child.wait()?);
        }
        Ok(Self { child, lines, attached: serde_json::from_str(&first)? })
    }

    /// The next line of counters.
    ///
    /// # Errors
    /// It has ended, or wrote a line that isn't JSON.
    pub fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        if line.is_empty() {
            let mut errors = String::new();
            self.child.stderr.take().context("a pipe")?.read_to_string(&mut errors)?;
            bail!("ntpguard ended with {}: {errors}", self.child.wait()?);
        }
        Ok(serde_json::from_str(&line)?)
    }

    /// The resident memory of its process in KiB.
    ///
    /// # Errors
    /// It has ended.
    pub fn memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// Sends a signal and waits for the process to end.
    ///
    /// # Errors
    /// The process is gone already.
    pub fn end(mut self, signal: Signal) -> Result<Ended> {
        kill(Pid::from_raw(self.child.id() as i32), signal)?;
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest)?;
        let mut errors = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut errors)?;
        }
        let totals = rest.lines().last().map(serde_json::from_str).transpose()?;
        Ok(Ended { status: self.child.wait()?, totals, errors })
    }
}

impl Drop for Guarding {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The `ntpguard` binary that was built beside this program.
///
/// # Errors
/// It wasn't built.
pub fn binary() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let built = this.ancestors().skip(1).map(|folder| folder.join("ntpguard")).find(|path| path.is_file());
    built.context("there is no ntpguard beside the tests: `cargo build --package ntpguard`")
}

/// A command of `ntpguard` in a namespace, for tests of how it fails; `run` is ephemeral unless the arguments have a pin path.
///
/// # Errors
/// It wasn't built.
pub fn command(netns: &Netns, arguments: &[&str]) -> Result<Command> {
    let mut command = netns.command(binary()?);
    command.args(arguments);
    if arguments.first() == Some(&"run") && !arguments.contains(&"--pin-path") {
        command.arg("--ephemeral");
    }
    Ok(command)
}
