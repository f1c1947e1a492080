//! Notifies the service manager (sd_notify(3)); does nothing if there is none.
//!
//! The socket is opened once, before the process confines itself, since it can't open one afterwards.

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

/// The connection to the service manager.
pub(crate) struct Manager {
    socket: Option<UnixDatagram>,
    /// Half the interval at which it expects a watchdog notification, since one may be late.
    watchdog: Option<Duration>,
    last: Instant,
}

impl Manager {
    /// The manager that started this process, if one did.
    pub(crate) fn new() -> Self {
        // If it can't be reached, ntpguard guards nevertheless.
        let socket = open().ok().flatten();
        Self { socket, watchdog: sd_notify::watchdog_enabled().map(|time| time / 2), last: Instant::now() }
    }

    /// The interval at which to call [`Manager::alive`], at most `at_least`.
    pub(crate) fn pace(&self, at_least: Duration) -> Duration {
        self.watchdog.map_or(at_least, |watchdog| watchdog.clamp(Duration::from_millis(1), at_least))
    }

    /// Reports that the service is ready, with its status.
    pub(crate) fn ready(&self, status: &str) {
        self.send(&[NotifyState::Ready, NotifyState::Status(first_line(status))]);
    }

    /// Sends a watchdog notification when one is due; called from the loop that does the work.
    pub(crate) fn alive(&mut self) {
        if let Some(watchdog) = self.watchdog
            // A tick that comes a little early isn't a reason to wait for the next one.
            && self.last.elapsed() >= watchdog.mul_f64(0.9)
        {
            self.last = Instant::now();
            self.send(&[NotifyState::Watchdog]);
        }
    }

    /// Reports that the configuration is being reloaded, until [`Manager::ready`].
    pub(crate) fn reloading(&self) {
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            self.send(&[NotifyState::Reloading, now]);
        }
    }

    /// Reports that the service is stopping.
    pub(crate) fn stopping(&self) {
        self.send(&[NotifyState::Stopping]);
    }

    fn send(&self, states: &[NotifyState<'_>]) {
        let Some(socket) = &self.socket else { return };
        let message: String = states.iter().map(|state| format!("{state}\n")).collect();
        // If the manager has gone, that isn't an error either.
        let _ = socket.send(message.as_bytes());
    }
}

/// The first line, since a line break would begin another assignment.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// A socket connected to the manager that started this process, if one did: a path, or a name in the abstract
/// namespace.
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
