//! `run --trace`: the lines that the tracing program logs, with words put to the numbers.

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

/// Starts a thread that writes the lines to standard error; some are lost if its reader is too far behind. Under a flood
/// aya-log's `flush` may never return: on a thread of its own, it keeps nobody from stopping the guard.
pub(super) fn start(ebpf: &mut Ebpf, causes: Causes) -> Result<()> {
    let mut log =
        EbpfLogger::init_with_logger(ebpf, TraceLines { causes }).context("the program has no log")?;
    thread::spawn(move || {
        // It reads memory that it has.
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

/// Turns "reason rule source port" into words.
struct TraceLines {
    causes: Causes,
}

/// The lines of ntp.conf to blame, by counter ([`hit`]): those of the policy in force, in a room for two.
pub(super) type Causes = Arc<Mutex<Vec<Option<String>>>>;

impl TraceLines {
    /// `None` if the program said something else.
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
