//! `run --trace`: turns the numbers that the tracing program logs into words.

use crate::host::{
    log::{trace, warn},
    sandbox,
};
use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{Log, Metadata, Record};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use ntpguard_common::{Reason, Verdict, verdict::hit};
use std::{
    os::fd::AsFd as _,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

/// Starts a thread that writes the lines to standard error; some are lost if the reader there is too slow. Under a
/// flood aya-log's `flush` may never return, but in a thread of its own it keeps nothing else from stopping the guard.
pub(super) fn start(ebpf: &mut Ebpf, causes: Causes) -> Result<()> {
    let mut log =
        EbpfLogger::init_with_logger(ebpf, TraceLines { causes }).context("the program has no log")?;
    thread::spawn(move || {
        // The thread only reads memory that is already mapped.
        sandbox::renounce();
        loop {
            let mut readable = [PollFd::new(log.as_fd(), PollFlags::POLLIN)];
            match poll(&mut readable, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => log.flush(),
                Err(errno) => return warn(format_args!("no more trace ({errno}); still guarding")),
            }
        }
    });
    Ok(())
}

/// Turns "reason rule source port", in numbers, into words.
struct TraceLines {
    causes: Causes,
}

/// The lines of ntp.conf to blame, by counter ([`hit`]): those of the policy in force, with room for the counters of
/// both slots.
pub(super) type Causes = Arc<Mutex<Vec<Option<String>>>>;

impl TraceLines {
    /// A line in words; `None` if the program logged something else.
    fn of(&self, line: &str) -> Option<String> {
        let mut words = line.split(' ');
        let mut number = || words.next()?.parse::<u32>().ok();
        let (reason, rule) = (*Reason::ALL.get(number()? as usize)?, number()?);
        let counter = hit(Verdict { rule, ..Verdict::of(reason) });
        let causes = self.causes.lock().unwrap_or_else(PoisonError::into_inner);
        let cause = counter.and_then(|counter| causes.get(counter as usize)?.as_deref());
        let from = match (words.next(), words.next()) {
            (Some(source), Some(port)) => format!(" from {source} port {port}"),
            _ => String::new(),
        };
        let by = cause.map(|cause| format!(" by {cause}")).unwrap_or_default();
        Some(format!("trace: {}{from}{by}", reason.name()))
    }
}

impl Log for TraceLines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = record.args().to_string();
        match self.of(&line) {
            Some(words) => trace(format_args!("{words}")),
            None => trace(format_args!("trace: {line}")),
        }
    }

    fn flush(&self) {}
}
