//! `run --trace`: the lines that the tracing program logs, with names put to the numbers.

use crate::fault::tell;
use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{Log, Metadata, Record};
use ntpguard_common::{Reason, Verdict};
use tokio::io::{Interest, unix::AsyncFd};

/// A running trace.
pub struct Trace {
    log: AsyncFd<EbpfLogger<Names>>,
}

impl Trace {
    pub(super) fn start(ebpf: &mut Ebpf) -> Result<Self> {
        let log = EbpfLogger::init_with_logger(ebpf, Names).context("the program has no log")?;
        // SAFETY: the logger owns the ring buffer's descriptor, never gives it away, and lives in here.
        let log = unsafe { AsyncFd::register_with_interest(log, Interest::READABLE) }?;
        Ok(Self { log })
    }

    /// Waits for lines and writes them to standard error.
    ///
    /// # Errors
    /// The ring buffer can't be waited for.
    pub async fn next(&mut self) -> Result<()> {
        let mut ready = self.log.readable_mut().await?;
        ready.get_inner_mut().flush();
        ready.clear_ready();
        Ok(())
    }
}

/// Turns "reason rule" into words.
struct Names;

impl Log for Names {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = record.args().to_string();
        let mut numbers = line.split(' ').map(str::parse::<u32>);
        if let (Some(Ok(reason)), Some(Ok(rule))) = (numbers.next(), numbers.next()) {
            let reason = Reason::ALL.get(reason as usize).map_or("unknown", |reason| reason.name());
            match rule {
                Verdict::NO_RULE => tell(format_args!("trace: {reason}")),
                rule => tell(format_args!("trace: {reason} (rule {rule})")),
            }
        }
    }

    fn flush(&self) {}
}
