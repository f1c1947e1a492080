//! What the service manager is told (sd_notify(3)); nothing, where none listens.
//!
//! Its socket is opened once, before the process confines itself: afterwards it can open none.

use sd_notify::NotifyState;
use std::{
    env, io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::{Duration, Instant},
};

/// The service manager.
pub(crate) struct Manager {
    socket: Option<UnixDatagram>,
    /// How often it wants a sign of life, halved: one may come late.
    watchdog: Option<Duration>,
    last: Instant,
}

impl Manager {
    /// The one that started this process, if one did.
    pub(crate) fn new() -> Self {
        // A manager that doesn't listen is no reason not to guard.
        let socket = open().ok().flatten();
        Self { socket, watchdog: sd_notify::watchdog_enabled().map(|time| time / 2), last: Instant::now() }
    }

    /// How often to call [`Manager::alive`], if at least this often.
    pub(crate) fn pace(&self, at_least: Duration) -> Duration {
        self.watchdog.map_or(at_least, |watchdog| watchdog.clamp(Duration::from_millis(1), at_least))
    }

    /// It guards; and so.
    pub(crate) fn ready(&self, status: &str) {
        self.send(&[NotifyState::Ready, NotifyState::Status(first_line(status))]);
    }

    /// It lives: to be told from the loop that does the work.
    pub(crate) fn alive(&mut self) {
        if let Some(watchdog) = self.watchdog
            // A tick that comes a little early isn't a reason to wait for the next one.
            && self.last.elapsed() >= watchdog.mul_f64(0.9)
        {
            self.last = Instant::now();
            self.send(&[NotifyState::Watchdog]);
        }
    }

    /// It reads its configuration, until it is [`Manager::ready`].
    pub(crate) fn reloading(&self) {
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            self.send(&[NotifyState::Reloading, now]);
        }
    }

    /// It ends.
    pub(crate) fn stopping(&self) {
        self.send(&[NotifyState::Stopping]);
    }

    fn send(&self, states: &[NotifyState<'_>]) {
        let Some(socket) = &self.socket else { return };
        let message: String = states.iter().map(|state| format!("{state}\n")).collect();
        // Nor is one that has gone.
        let _ = socket.send(message.as_bytes());
    }
}

/// A line that breaks would be another assignment.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// The socket of the manager that started this process, if one did: a path, or a name in the abstract space.
fn open() -> io::Result<Option<UnixDatagram>> {
    let Some(name) = env::var_os("NOTIFY_SOCKET") else { return Ok(None) };
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(&name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    Ok(Some(socket))
}
