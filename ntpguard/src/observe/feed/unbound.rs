//! The hub's socket before it is bound.

use anyhow::Result;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use std::{
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::net::UnixListener,
    },
    path::Path,
};

/// A Unix socket that isn't bound yet. A confined process can't create sockets any more, and may have to wait until it
/// becomes the hub.
pub struct Unbound(OwnedFd);

impl Unbound {
    /// Creates the socket.
    ///
    /// # Errors
    /// There are no descriptors left, or this process is confined.
    pub fn new() -> Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        Ok(Self(socket(AddressFamily::Unix, SockType::Stream, flags, None)?))
    }

    /// Binds the socket to a path, and listens; accepting never blocks.
    ///
    /// # Errors
    /// The file exists, or can't be created.
    pub(super) fn listen(self, path: &Path) -> Result<UnixListener> {
        let Self(socket) = self;
        bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
        listen(&socket, Backlog::new(128)?)?;
        Ok(socket.into())
    }
}
