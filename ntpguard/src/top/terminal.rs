//! Takes over the terminal for a while, and restores it however that ends.
//!
//! Contract: the content of the screen, the cursor and the line discipline (echo, line editing) are restored when a
//! [`Screen`] is dropped or its thread panics. Messages, including those of panics, are printed after that, on the restored
//! screen. After SIGKILL nothing is restored.

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

/// Whether the terminal is taken over at present.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// A terminal that is taken over.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    theme: Theme,
}

/// The keys that were pressed, and whether the screen must be redrawn.
#[derive(Debug, Default)]
pub struct Pressed {
    /// The keys in their order.
    pub keys: Vec<Press>,
    /// Whether the size of the terminal has changed.
    pub resized: bool,
}

impl Screen {
    /// Takes over the terminal of standard input and output.
    ///
    /// # Errors
    /// Standard input or output isn't a terminal, or the terminal can't place text.
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
        // From here on, dropping the value restores the terminal.
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()));
        let terminal = terminal.inspect_err(|_| leave()).context("the terminal has no size")?;
        Ok(Self { terminal, theme })
    }

    /// Draws what has changed.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn draw(&mut self, top: &Top) -> Result<()> {
        let theme = self.theme;
        self.terminal.draw(|frame| view::render(frame, top, theme)).context("can't write to the terminal")?;
        Ok(())
    }

    /// Waits for keys, but not longer than `patience`, and takes all that were pressed.
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

    /// Restores the terminal while `meanwhile` runs.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn without(&mut self, meanwhile: impl FnOnce()) -> Result<()> {
        leave();
        meanwhile();
        enter()?;
        // Other programs may have written to the screen.
        self.terminal.clear().context("can't write to the terminal")
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

/// Waits for input, a signal, or the end of `patience`. crossterm's own wait never ends after the terminal has hung up:
/// there always seems to be input then, but nothing can be read.
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

/// Restores the terminal, once, for the first caller. Errors are ignored, because a later attempt would fail as well.
fn leave() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
        log::release();
        log::told();
    }
}

/// Makes sure that the message of a panic can be read. If the screen's own thread panics, the screen is left first; the
/// message of another thread waits until the screen is left.
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
