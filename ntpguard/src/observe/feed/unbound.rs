//! The hub's socket before it has an address.

use anyhow::Result;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use std::{
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::net::UnixListener,
    },
    path::Path,
};

/// A Unix socket without an address. A confined process can't make one any more, and may have to wait for its turn to listen.
pub struct Unbound(OwnedFd);

impl Unbound {
    /// Makes one.
    ///
    /// # Errors
    /// There are no descriptors left, or this process is confined.
    pub fn new() -> Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        Ok(Self(socket(AddressFamily::Unix, SockType::Stream, flags, None)?))
    }

    /// Gives it an address and listens; accepting never blocks.
    ///
    /// # Errors
    /// There is a file of this name, or no room for it.
    pub(super) fn listen(self, path: &Path) -> Result<UnixListener> {
        let Self(socket) = self;
        bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
        listen(&socket, Backlog::new(128)?)?;
        Ok(socket.into())
    }
}
