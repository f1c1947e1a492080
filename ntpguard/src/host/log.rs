//! The log: everything that is reported through `tracing`, as lines on standard error.
//!
//! Contract: logging never waits for a reader. Of too many messages in a short time some are dropped, and their number
//! is logged. A message is never cut in half, however many lines it has.
//!
//! If standard error is the journal, each line begins with its priority (`<4>`, sd-daemon(3)). That needs no socket of
//! its own to the journal, on which the guard would block when the journal does, and no crate besides `tracing`. On a
//! terminal no line is longer than 80 columns; elsewhere a message keeps its lines, so that it can be searched for.

use crate::host::{terminal, writer::Writer};
use nix::sys::stat::fstat;
use std::{
    env,
    fmt::{self, Write as _},
    io::{self, IsTerminal as _},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};
use tracing::{
    Dispatch, Event, Level, Metadata, Subscriber,
    dispatcher::set_global_default,
    field::{Field, Visit},
    span,
};

/// Messages in [`WINDOW`] at most: more than any start or administrator causes, and very little for a disk.
const MESSAGES: u32 = 100;
/// The interval in which messages are counted.
const WINDOW: Duration = Duration::from_secs(10);

/// Messages kept while the log is held.
const HELD: usize = 100;

/// Logs a message, unless the reader is too far behind. A missing reader is no reason to stop guarding, or to guard
/// more slowly.
pub fn tell(line: fmt::Arguments<'_>) {
    log();
    tracing::info!("{line}");
}

/// Like [`tell`], for a warning.
pub fn warn(line: fmt::Arguments<'_>) {
    log();
    tracing::warn!("{line}");
}

/// Like [`tell`], for the error with which the process ends.
pub fn complain(line: fmt::Arguments<'_>) {
    log();
    tracing::error!("{line}");
}

/// Like [`tell`], for one packet of many, and without the limit on messages.
pub fn trace(line: fmt::Arguments<'_>) {
    log();
    tracing::trace!("{line}");
}

/// Withholds messages until [`release`], since something else is on the terminal.
pub fn hold() {
    log().hold();
}

/// Writes the messages since [`hold`].
pub fn release() {
    log().release();
}

/// Waits until all messages are written, up to a time limit.
pub fn told() {
    log().flush();
}

/// The log of this process.
pub(crate) fn log() -> &'static Log {
    static LOG: OnceLock<Arc<Log>> = OnceLock::new();
    let mut first = false;
    let log = LOG.get_or_init(|| {
        first = true;
        Arc::new(Log::new(Writer::to(io::stderr()), Target::of_stderr()))
    });
    if first {
        // A dispatcher that is already set is a test's.
        let _ = set_global_default(Dispatch::new(Arc::clone(log)));
    }
    log
}

/// Where the log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// The journal, which understands priorities.
    Journal,
    /// A terminal.
    Terminal,
    /// A file, or another program.
    Other,
}

impl Target {
    fn of_stderr() -> Self {
        match io::stderr().is_terminal() {
            _ if is_journal() => Self::Journal,
            true => Self::Terminal,
            false => Self::Other,
        }
    }
}

/// The log: formats messages and passes them to a writer.
pub(crate) struct Log {
    writer: Writer,
    target: Target,
    budget: Mutex<Budget>,
    /// Messages withheld; `None` if they are written at once.
    held: Mutex<Option<Vec<String>>>,
}

impl Log {
    fn new(writer: Writer, target: Target) -> Self {
        let budget = Mutex::new(Budget { window: WINDOW, since: Instant::now(), spent: 0, lost: 0 });
        Self { writer, target, budget, held: Mutex::new(None) }
    }

    fn write(&self, level: Level, text: &str) {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        // Traces of single packets don't count towards the limit, nor does an error, which is logged once, at the end.
        if level == Level::TRACE {
            self.writer.offer(self.lines(level, text));
            return;
        }
        if level != Level::ERROR && !budget.spend(Instant::now()) {
            budget.lost += 1;
            return;
        }
        self.confess(&mut budget);
        if !self.offer(self.lines(level, text)) {
            budget.lost += 1;
        }
    }

    fn offer(&self, lines: String) -> bool {
        match &mut *self.held.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(held) if held.len() < HELD => held.push(lines),
            Some(_) => return false,
            None => return self.writer.offer(lines),
        }
        true
    }

    /// Withholds messages from now on: the terminal is in use for something else.
    pub(crate) fn hold(&self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default();
    }

    /// Writes the withheld messages, and from now on writes messages at once.
    pub(crate) fn release(&self) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        held.into_iter().flatten().for_each(|lines| self.writer.insist(lines));
    }

    /// Logs the number of dropped messages, if there are any.
    fn confess(&self, budget: &mut Budget) {
        let Budget { lost, .. } = *budget;
        let note = || self.lines(Level::WARN, &format!("{lost} messages were left out: too many at once"));
        if lost > 0 && self.offer(note()) {
            budget.lost = 0;
        }
    }

    /// The lines of a message. Control characters are replaced, since a terminal would obey them and words of an
    /// ntp.conf end up here.
    fn lines(&self, level: Level, text: &str) -> String {
        let text = terminal::shown(text);
        let priority = priority(level);
        match self.target {
            Target::Journal => {
                text.lines().map(|line| format!("<{priority}>{line}")).collect::<Vec<_>>().join("\n")
            }
            Target::Terminal => terminal::folded(&text),
            Target::Other => text.into_owned(),
        }
    }

    /// Waits until everything is written, up to a time limit.
    pub(crate) fn flush(&self) {
        self.confess(&mut self.budget.lock().unwrap_or_else(PoisonError::into_inner));
        self.writer.flush();
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Other crates' debug messages are left out.
        *metadata.level() <= Level::INFO || metadata.target().starts_with("ntpguard")
    }

    fn event(&self, event: &Event<'_>) {
        let mut words = Message(String::new());
        event.record(&mut words);
        self.write(*event.metadata().level(), &words.0);
    }

    // Spans aren't used.
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// An event as text: its message, then its other fields.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let Self(words) = self;
        // Writing into a String can't fail.
        let _ = match field.name() {
            "message" => write!(words, "{value:?}"),
            name => write!(words, " {name}={value:?}"),
        };
    }
}

/// The remaining number of messages in the current window.
struct Budget {
    /// [`WINDOW`], or another value in a test.
    window: Duration,
    since: Instant,
    spent: u32,
    /// Messages that were dropped and not yet reported.
    lost: u64,
}

impl Budget {
    /// Counts a message, and returns whether it may be logged.
    fn spend(&mut self, now: Instant) -> bool {
        if now.duration_since(self.since) >= self.window {
            (self.since, self.spent) = (now, 0);
        }
        self.spent += 1;
        self.spent <= MESSAGES
    }
}

/// The priority, as syslog(3) numbers them.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// Whether standard error is the journal (systemd.exec(5), JOURNAL_STREAM); a child's may have been redirected.
fn is_journal() -> bool {
    let named = env::var("JOURNAL_STREAM").ok();
    let here = fstat(io::stderr()).ok().map(|stat| format!("{}:{}", stat.st_dev, stat.st_ino));
    named.is_some() && named == here
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Collects what a log writes.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What a log writes for the messages that `tell` logs.
    fn written(target: Target, tell: impl FnOnce(&Log)) -> String {
        let written = Written::default();
        // On a busy machine, too, the writer is waited for, and everything falls into one window.
        let log = Arc::new(Log::new(Writer::patient(written.clone(), Duration::MAX), target));
        log.budget.lock().unwrap().window = Duration::MAX;
        tracing::subscriber::with_default(Arc::clone(&log), || tell(&log));
        log.flush();
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_journal_gets_priorities_and_a_terminal_the_text() {
        let tell = |_: &Log| {
            tracing::error!("an error");
            tracing::warn!("a warning\nand \x1b[31mone more");
            tracing::info!(number = 7, "a word");
        };
        let shown = "an error\na warning\nand \u{fffd}[31mone more\na word number=7\n";
        assert_eq!(written(Target::Other, tell), shown);
        let journal = "<3>an error\n<4>a warning\n<4>and \u{fffd}[31mone more\n<6>a word number=7\n";
        assert_eq!(written(Target::Journal, tell), journal);
    }

    #[test]
    fn on_a_terminal_every_line_fits() {
        let tell = |_: &Log| {
            let (interface, address) = ("enp0s31f6np0v15", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff");
            tracing::error!(
                "ntpguard: {interface}: the kernel refuses: {address} isn't this host's, and {address} isn't"
            );
            tracing::warn!(
                "a head:\n  the server {address}, which {interface} leads to, is behind `ignore`, {address} too"
            );
            tracing::info!("guarding {interface}, {}", "word ".repeat(40));
        };
        let terminal = written(Target::Terminal, tell);
        assert!(terminal.lines().all(|line| line.chars().count() <= 80), "{terminal}");
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let whole = written(Target::Other, tell);
        assert_eq!(whole.lines().count(), 4, "elsewhere a message stays whole");
        assert_eq!(words(&terminal), words(&whole));
    }

    #[test]
    fn too_much_is_left_out_and_its_number_said() {
        let told = MESSAGES + 50;
        let said = written(Target::Other, |log| {
            for number in 0..told {
                tracing::info!("message {number}");
                // Waits, so that the reader keeps up.
                log.writer.flush();
            }
        });
        assert_eq!(said.lines().filter(|line| line.starts_with("message")).count(), MESSAGES as usize);
        assert!(said.ends_with("50 messages were left out: too many at once\n"), "{said}");

        // A long error is written in one piece, despite the limit.
        let lines = "line\n".repeat(5000);
        let said = written(Target::Other, |log| {
            tracing::warn!("{}", lines.trim_end());
            for _ in 0..told {
                tracing::info!("word");
                log.writer.flush();
            }
            tracing::error!("the end");
        });
        assert_eq!(said.lines().filter(|line| *line == "line").count(), 5000);
        assert!(said.contains("left out") && said.ends_with("the end\n"), "the error comes after");
    }

    #[test]
    fn after_a_while_there_is_room_again() {
        let start = Instant::now();
        let mut budget = Budget { window: WINDOW, since: start, spent: 0, lost: 0 };
        assert!((0..MESSAGES).all(|_| budget.spend(start)) && !budget.spend(start));
        assert!(!budget.spend(start + WINDOW / 2) && budget.spend(start + WINDOW));
    }
}
