//! Output through a thread, so that a slow or missing reader never blocks the guard.

use crate::host::sandbox;
use std::{
    io::{self, Write},
    mem,
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread,
    time::{Duration, Instant},
};

/// Lines queued for a slow reader.
const PENDING: usize = 64;
/// How long to wait for the reader at the end.
const READER_TIMEOUT: Duration = Duration::from_secs(1);

enum Message {
    Line(String),
    /// Answered when everything before it is written; never, if it can't be written.
    Flush(SyncSender<()>),
}

/// A thread that writes lines.
pub(crate) struct Writer {
    messages: SyncSender<Message>,
    /// How long callers wait for the thread at most: [`READER_TIMEOUT`], or another time in a test.
    patience: Duration,
}

impl Writer {
    pub(crate) fn to(out: impl Write + Send + 'static) -> Self {
        Self::patient(out, READER_TIMEOUT)
    }

    /// Like [`Writer::to`], with another timeout.
    pub(crate) fn patient(mut out: impl Write + Send + 'static, patience: Duration) -> Self {
        let (messages, pending) = sync_channel(PENDING);
        thread::spawn(move || {
            // The output is open, and the thread needs nothing else.
            sandbox::renounce();
            // When this thread ends, its channel closes, so that callers who send or wait get an error.
            let _: io::Result<()> = write(&mut out, &pending);
        });
        Self { messages, patience }
    }

    /// Queues a line that may be lost if the reader is too far behind, or gone. Returns whether it was queued.
    pub(crate) fn offer(&self, line: String) -> bool {
        self.messages.try_send(Message::Line(line)).is_ok()
    }

    /// Queues a line that is worth waiting for.
    pub(crate) fn insist(&self, line: String) {
        self.wait(Message::Line(line));
    }

    /// Waits until everything is written, and returns whether it was.
    pub(crate) fn flush(&self) -> bool {
        let (waiting, written) = sync_channel(1);
        self.wait(Message::Flush(waiting)) && written.recv_timeout(self.patience).is_ok()
    }

    /// Queues a message as soon as there is room for it, within the writer's timeout.
    fn wait(&self, mut message: Message) -> bool {
        let start = Instant::now();
        loop {
            match self.messages.try_send(message) {
                Ok(()) => return true,
                Err(TrySendError::Full(back)) if start.elapsed() < self.patience => message = back,
                Err(_) => return false,
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn write(out: &mut impl Write, pending: &Receiver<Message>) -> io::Result<()> {
    let mut lost = false;
    for message in pending {
        match message {
            Message::Line(line) => match writeln!(out, "{line}").and_then(|()| out.flush()) {
                // A full disk may have room again later.
                Err(error) if error.kind() == io::ErrorKind::StorageFull => lost = true,
                written => written?,
            },
            // No answer means that something was lost.
            Message::Flush(_) if mem::take(&mut lost) => (),
            // If the caller no longer waits, that is no error.
            Message::Flush(waiting) => drop(waiting.try_send(())),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Condvar, Mutex};

    /// A busy machine may be slow, and a timeout wouldn't improve the test.
    const FOR_EVER: Duration = Duration::from_secs(600);

    /// Accepts no line before the gate is open, and keeps those that it accepts.
    #[derive(Clone, Default)]
    struct Gated(Arc<Gate>);

    #[derive(Default)]
    struct Gate {
        /// Whether the gate is open, and what was written.
        state: Mutex<(bool, Vec<u8>)>,
        opened: Condvar,
    }

    impl Gated {
        fn open(&self) {
            self.0.state.lock().unwrap().0 = true;
            self.0.opened.notify_all();
        }
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let Gate { state, opened } = &*self.0;
            let mut state = opened.wait_while(state.lock().unwrap(), |(open, _)| !*open).unwrap();
            state.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_insisted_on_gets_past_a_full_queue() {
        let gated = Gated::default();
        let writer = Writer::patient(gated.clone(), FOR_EVER);
        let taken = (0..10 * PENDING).filter(|_| writer.offer("offered".to_owned())).count();
        // One more if the thread has taken a line already.
        assert!(taken == PENDING || taken == PENDING + 1, "the rest was lost, and nobody waited: {taken}");
        thread::scope(|scope| {
            scope.spawn(|| writer.insist("insisted".to_owned()));
            gated.open();
        });
        assert!(writer.flush());
        let written = String::from_utf8(gated.0.state.lock().unwrap().1.clone()).unwrap();
        assert!(written.ends_with("insisted\n"));
        assert_eq!(written.lines().count(), taken + 1);
    }

    #[test]
    fn what_a_closed_pipe_lost_was_not_written() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        // It doesn't matter whether the flush is queued before the pipe is found closed or after.
        let writer = Writer::patient(Closed, FOR_EVER);
        writer.insist("totals".to_owned());
        assert!(!writer.flush());
    }

    #[test]
    fn a_full_disk_loses_lines_until_there_is_room() {
        /// An output that is full for the first line.
        #[derive(Clone, Default)]
        struct Disk(Arc<Mutex<Vec<u8>>>, bool);
        impl Write for Disk {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if !mem::replace(&mut self.1, true) {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let disk = Disk::default();
        let writer = Writer::patient(disk.clone(), FOR_EVER);
        writer.insist("lost".to_owned());
        assert!(!writer.flush());
        writer.insist("kept".to_owned());
        assert!(writer.flush());
        assert_eq!(*disk.0.lock().unwrap(), b"kept\n");
    }

    #[test]
    fn a_stalled_reader_is_waited_for_no_longer_than_patience() {
        let stalled = Gated::default();
        let writer = Writer::patient(stalled.clone(), Duration::from_millis(20));
        while writer.offer("offered".to_owned()) {}
        // The test is that these calls return: the gate is never opened before.
        writer.insist("insisted".to_owned());
        assert!(!writer.flush());
        stalled.open();
    }
}
