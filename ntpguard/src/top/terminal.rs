//! The terminal: taken over for a while, and left as it was, whatever ends that.
//!
//! Contract: what was on the screen, the cursor, and the line discipline (echo, line editing) are as before once a [`Screen`] is
//! dropped or its thread has panicked. Messages, those of panics too, come after that, on the screen that people then see.
//! Of SIGKILL nobody can say so.

use super::{
    keys,
    model::{Press, Top},
    theme::Theme,
    view,
};
use crate::host::log;
use anyhow::{Context as _, Result, bail, ensure};
use crossterm::{
    cursor::Show,
    event::{self, Event},
    execute,
    terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use ratatui::{Terminal, backend::CrosstermBackend};
use std::{
    io::{self, IsTerminal as _, Stdout},
    os::fd::AsFd as _,
    panic,
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// Whether the terminal is taken over.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// A terminal that is taken over.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    theme: Theme,
}

/// Keys that were pressed, and whether all must be drawn anew.
#[derive(Debug, Default)]
pub struct Pressed {
    /// In their order.
    pub keys: Vec<Press>,
    /// The terminal has another size.
    pub resized: bool,
}

impl Screen {
    /// Takes over the terminal of standard input and output.
    ///
    /// # Errors
    /// There is none, or none in which text can be placed.
    pub fn take(theme: Theme) -> Result<Self> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            bail!(
                "standard input and output must be a terminal; `ntpguard stats --watch` writes to anything"
            );
        }
        if std::env::var("TERM").is_ok_and(|term| term == "dumb") {
            bail!("TERM is dumb: no text can be placed there; `ntpguard stats --watch` writes lines");
        }
        hook();
        enter()?;
        // From here on, dropping it leaves.
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()));
        let terminal = terminal.inspect_err(|_| leave()).context("the terminal has no size")?;
        Ok(Self { terminal, theme })
    }

    /// Draws, what is other than before.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn draw(&mut self, top: &Top) -> Result<()> {
        let theme = self.theme;
        self.terminal.draw(|frame| view::render(frame, top, theme)).context("can't write to the terminal")?;
        Ok(())
    }

    /// Waits for keys, but not longer than this, and takes all that there are.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn pressed(&mut self, patience: Duration) -> Result<Pressed> {
        let mut pressed = Pressed::default();
        wait(patience)?;
        while event::poll(Duration::ZERO).context("can't wait for the terminal")? {
            match event::read().context("can't read from the terminal")? {
                Event::Key(key) => pressed.keys.extend(keys::presses(key)),
                Event::Resize(..) => pressed.resized = true,
                _ => (),
            }
        }
        Ok(pressed)
    }

    /// Leaves it for as long as `meanwhile` takes.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn without(&mut self, meanwhile: impl FnOnce()) -> Result<()> {
        leave();
        meanwhile();
        enter()?;
        // What is there now is somebody else's.
        self.terminal.clear().context("can't write to the terminal")
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

/// Waits for something to read, a signal, or the end of patience. crossterm's own wait never ends where the terminal has
/// gone away with whoever had it: there is always something to read then, and nothing is read.
fn wait(patience: Duration) -> Result<()> {
    let stdin = io::stdin();
    let mut terminal = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    match poll(&mut terminal, PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX)) {
        Ok(_) | Err(Errno::EINTR) => (),
        Err(errno) => return Err(errno).context("can't wait for the terminal"),
    }
    let gone = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
    ensure!(!terminal[0].revents().unwrap_or(PollFlags::empty()).intersects(gone), "the terminal is gone");
    Ok(())
}

fn enter() -> Result<()> {
    enable_raw_mode().context("can't take over the terminal")?;
    TAKEN.store(true, Ordering::SeqCst);
    log::hold();
    execute!(io::stdout(), EnterAlternateScreen)
        .inspect_err(|_| leave())
        .context("can't write to the terminal")
}

/// Once, whoever comes first. What can't be undone now can't be undone later.
fn leave() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
        log::release();
        log::told();
    }
}

/// Sees to it that a panic's message is read: the thread that panics is the screen's, which leaves first; or another's, whose
/// words wait until the screen is left.
fn hook() {
    static ONCE: Once = Once::new();
    let screen = thread::current().id();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panicked| {
            if thread::current().id() == screen {
                leave();
            } else if TAKEN.load(Ordering::SeqCst) {
                log::complain(format_args!("{panicked}"));
                return;
            }
            usual(panicked);
        }));
    });
}
