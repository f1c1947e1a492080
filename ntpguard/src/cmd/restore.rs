//! `ntpguard restore-features`, which `run --ephemeral` starts beside itself: puts a card's features back when `run` has
//! ended, whatever ended it.
//!
//! `run` has given up its rights by then, or was killed. This process has one right more (CAP_NET_ADMIN) and does one thing: it
//! reads a line when it starts, and puts back what that says when the pipe that it came by is closed. Nothing that is written
//! later is looked at, so a `run` that somebody has taken over can't use it.

use crate::{
    guard::{restore, state::Card},
    host::{
        fault::{Blame as _, Fault},
        sandbox,
    },
};
use anyhow::{Context as _, Result, ensure};
use caps::Capability;
use nix::sys::signal::{SigHandler, Signal, signal};
use std::{
    collections::BTreeMap,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::process::CommandExt as _,
    },
    process::{ChildStdin, Command, Stdio},
};

/// The verb.
const VERB: &str = "restore-features";

/// The helper, as its `run` has it: it does its work when this is dropped.
pub(super) struct Helper {
    _pipe: ChildStdin,
}

impl Helper {
    /// Starts it for these cards, by their interfaces' indexes, and waits until no signal ends it any more.
    ///
    /// # Errors
    /// No process can be started.
    pub(super) fn start(cards: &BTreeMap<u32, Card>) -> Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        // A group of its own: the terminal's Ctrl-C isn't for it.
        command.arg(VERB).process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("can't start a process that restores the card's features")?;
        let mut pipe = child.stdin.take().context("a pipe")?;
        let mut line = serde_json::to_vec(cards)?;
        line.push(b'\n');
        pipe.write_all(&line)?;
        let mut said = Vec::new();
        child.stdout.take().context("a pipe")?.read_to_end(&mut said)?;
        ensure!(said == READY, "the process that restores the card's features didn't start");
        Ok(Self { _pipe: pipe })
    }
}

/// What it says when it is ready.
const READY: &[u8] = b"ready\n";

/// The helper itself.
///
/// # Errors
/// It was started by hand.
pub(super) fn run() -> Result<(), Fault> {
    wait().environment()
}

fn wait() -> Result<()> {
    for ending in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGPIPE, Signal::SIGQUIT] {
        // SAFETY: to ignore a signal runs no code.
        unsafe { signal(ending, SigHandler::SigIgn) }?;
    }
    sandbox::keep(&[Capability::CAP_NET_ADMIN])?;
    let mut input = BufReader::new(io::stdin());
    let mut line = String::new();
    input.read_line(&mut line)?;
    let cards: BTreeMap<u32, Card> = serde_json::from_str(&line)
        .context("this verb is for `ntpguard run --ephemeral`, which starts it by itself")?;
    let mut out = io::stdout();
    out.write_all(READY)?;
    out.flush()?;
    // `run` waits for the end of what is said.
    nix::unistd::close(io::stdout().as_fd().as_raw_fd())?;
    io::copy(&mut input, &mut io::sink())?;
    restore(&cards);
    Ok(())
}
