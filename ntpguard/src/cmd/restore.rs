//! `ntpguard restore-features`, a helper that `run --ephemeral` starts: when `run` has ended, for whatever reason, it
//! restores the cards' features and reports which of ntpguard's programs are still loaded.
//!
//! By then `run` has given up its rights, or was killed. The helper keeps two rights more: CAP_NET_ADMIN, and
//! CAP_SYS_ADMIN, without which the kernel doesn't report whether a program is loaded. It reads one line when it starts,
//! and does its work when the other end of the pipe is closed. Of the lines that are written later, after `run` has
//! attached again, it trusts only as little as it needs ([`crate::host::features::Altered::offloads`]): an attacker who has
//! taken over `run` can turn on receive offloads of the cards that it guards, and nothing else.

use super::detach;
use crate::{
    bpf::Going,
    guard::{Service, restore, state::Card},
    host::{
        fault::{Blame as _, Fault},
        interface::{self, Interface},
        log::warn,
        sandbox,
    },
};
use anyhow::{Context as _, Result, ensure};
use caps::Capability;
use nix::sys::signal::{SigHandler, Signal, signal};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::process::CommandExt as _,
    },
    process::{ChildStdin, Command, Stdio},
};

/// The verb's name on the command line.
const VERB: &str = "restore-features";

/// Cards by interface index.
type Cards = BTreeMap<u32, Card>;

/// What the helper is told when it starts.
#[derive(Deserialize, Serialize)]
struct Start {
    interfaces: Vec<String>,
    cards: Cards,
    programs: Going,
}

/// The helper as seen by `run`: it does its work when this is dropped.
pub(super) struct Helper {
    pipe: ChildStdin,
    /// The cards as the helper knows them.
    told: Cards,
}

impl Helper {
    /// Starts the helper for a service that is attached, and waits until it ignores the signals that end `run`.
    ///
    /// # Errors
    /// The process can't be started.
    pub(super) fn start(service: &mut Service) -> Result<Self> {
        let programs = service.guard.going()?;
        let (interfaces, cards) = (service.options().interface.clone(), service.cards().clone());
        let mut command = Command::new("/proc/self/exe");
        // In a process group of its own, so that Ctrl-C at the terminal doesn't reach it.
        command.arg(VERB).process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("can't start a process that restores the card's features")?;
        let pipe = child.stdin.take().context("a pipe")?;
        let mut helper = Self { pipe, told: cards.clone() };
        helper.write(&Start { interfaces, cards, programs })?;
        let mut said = Vec::new();
        child.stdout.take().context("a pipe")?.read_to_end(&mut said)?;
        ensure!(said == READY, "the process that restores the card's features didn't start");
        Ok(helper)
    }

    /// Tells the helper what attaching has changed since, if anything.
    pub(super) fn follow(&mut self, cards: &Cards) {
        if self.told == *cards {
            return;
        }
        cards.clone_into(&mut self.told);
        if let Err(error) = self.write(cards) {
            warn(format_args!(
                "what attaching has changed of the card stays so when ntpguard ends: {error:#}"
            ));
        }
    }

    fn write(&mut self, line: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(line)?;
        line.push(b'\n');
        Ok(self.pipe.write_all(&line)?)
    }
}

/// Maximum length of a line in bytes.
const MOST: u64 = 1 << 20;

/// The helper's message when it is ready.
const READY: &[u8] = b"ready\n";

/// Runs the helper.
///
/// # Errors
/// It was started by hand.
pub(super) fn run() -> Result<(), Fault> {
    wait().environment()
}

fn wait() -> Result<()> {
    for ending in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGPIPE, Signal::SIGQUIT] {
        // SAFETY: ignoring a signal runs no code.
        unsafe { signal(ending, SigHandler::SigIgn) }?;
    }
    sandbox::keep(&[Capability::CAP_NET_ADMIN, Capability::CAP_SYS_ADMIN])?;
    let mut input = BufReader::new(io::stdin());
    let mut line = String::new();
    input.read_line(&mut line)?;
    let start: Start = serde_json::from_str(&line)
        .context("this verb is for `ntpguard run --ephemeral`, which starts it by itself")?;
    let mut out = io::stdout();
    out.write_all(READY)?;
    out.flush()?;
    // `run` reads until the end of this output.
    nix::unistd::close(io::stdout().as_fd().as_raw_fd())?;
    let later = last(&mut input)?;
    let mut guarded = interface::all().unwrap_or_default();
    restore(&start.cards);
    restore(&later.into_iter().filter_map(|(index, card)| start.believed(&guarded, index, card)).collect());
    guarded.retain(|one| start.guards(one));
    if let Some(words) = detach::loaded(&start.programs.left(), &guarded) {
        warn(format_args!("{words}"));
    }
    Ok(())
}

/// The cards of the last complete line; returns when the other end of the pipe is closed.
fn last(input: &mut impl io::BufRead) -> Result<Cards> {
    let (mut cards, mut line) = (Cards::new(), String::new());
    while input.by_ref().take(MOST).read_line(&mut line).is_ok_and(|length| length > 0) {
        cards = serde_json::from_str(&line).unwrap_or(cards);
        line.clear();
    }
    // Input that isn't UTF-8 ends the lines; the rest is discarded.
    io::copy(input, &mut io::sink())?;
    Ok(cards)
}

impl Start {
    /// Whether an interface was guarded at the start, under this name or another one, or has come back.
    fn guards(&self, interface: &Interface) -> bool {
        self.interfaces.contains(&interface.name)
            || self.cards.values().any(|card| card.guarded == interface.index)
    }

    /// The part of a card from a later line that is trusted.
    fn believed(&self, all: &[Interface], index: u32, mut card: Card) -> Option<(u32, Card)> {
        let found = all.iter().find(|one| one.index == index)?;
        let master = all.iter().find(|one| Some(one.index) == found.master);
        card.altered = card.altered.offloads();
        [Some(found), master].into_iter().flatten().any(|one| self.guards(one)).then_some((index, card))
    }
}
