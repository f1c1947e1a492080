//! Standard output, behind a thread: a reader that is slow or gone never holds up the guard.

use crate::fault::tell;
use std::{
    io::{self, Write as _},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::Duration,
};

/// Lines kept for a slow reader; later ones are dropped, since each says what the ones before said.
const PENDING: usize = 16;
/// How long the end waits for a reader.
const PATIENCE: Duration = Duration::from_secs(1);

/// A thread that writes lines.
pub(super) struct Writer {
    lines: SyncSender<String>,
    /// Hangs up when everything is written.
    done: Receiver<()>,
}

impl Writer {
    pub(super) fn start() -> Self {
        let (lines, pending) = sync_channel::<String>(PENDING);
        let (alive, done) = sync_channel(0);
        thread::spawn(move || {
            let _alive = alive;
            for line in pending {
                let mut out = io::stdout().lock();
                if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
                    tell(format_args!("ntpguard: can't write counters ({error}); still guarding"));
                    return;
                }
            }
        });
        Self { lines, done }
    }

    /// Hands a line over; drops it if the reader is too far behind, or gone.
    pub(super) fn write(&self, line: String) {
        let _ = self.lines.try_send(line);
    }

    /// Waits until everything is written, but not for ever.
    pub(super) fn end(self) {
        let Self { lines, done } = self;
        drop(lines);
        if done.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            tell(format_args!("ntpguard: nobody reads the last lines"));
        }
    }
}
