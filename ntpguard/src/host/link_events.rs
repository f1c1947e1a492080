//! Notice from the kernel that something about a link has changed: its state or MTU from rtnetlink, its rings and
//! channels from ethtool's netlink family. What has changed is read elsewhere; this reports only that something has,
//! without delay.

use super::netlink;
use netlink_sys::{
    Socket, SocketAddr,
    protocols::{NETLINK_GENERIC, NETLINK_ROUTE},
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use std::{io, os::fd::AsFd as _, time::Duration};

/// RTNLGRP_LINK (include/uapi/linux/rtnetlink.h).
const LINKS: u32 = 1;

/// Open sockets that become readable when something changes.
pub struct LinkEvents(Vec<Socket>);

impl LinkEvents {
    /// Listens for changes from now on.
    ///
    /// # Errors
    /// The kernel refuses the socket for links. A missing netlink family for ethtool (CONFIG_ETHTOOL_NETLINK) isn't an
    /// error: drivers take the carrier away while they change rings or channels, which is noticed as well, up to a
    /// second later.
    pub fn listen() -> io::Result<Self> {
        let mut sockets = vec![socket(NETLINK_ROUTE, LINKS)?];
        // ETHTOOL_MCGRP_MONITOR_NAME.
        sockets.extend(netlink::group("ethtool", "monitor").and_then(|group| socket(NETLINK_GENERIC, group)));
        Ok(Self(sockets))
    }

    /// Waits for a change, but at most for `longest`. Returns whether there was one.
    ///
    /// # Errors
    /// A socket fails.
    pub fn wait(&self, longest: Duration) -> io::Result<bool> {
        let mut ready: Vec<_> =
            self.0.iter().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
        let timeout = PollTimeout::try_from(longest).unwrap_or(PollTimeout::MAX);
        match poll(&mut ready, timeout) {
            Ok(0) | Err(Errno::EINTR) => return Ok(false),
            Ok(_) => (),
            Err(errno) => return Err(errno.into()),
        }
        self.0.iter().try_for_each(drain)?;
        Ok(true)
    }
}

fn socket(protocol: isize, group: u32) -> io::Result<Socket> {
    let mut socket = Socket::new(protocol)?;
    socket.bind(&SocketAddr::new(0, 0))?;
    socket.add_membership(group)?;
    socket.set_non_blocking(true)?;
    Ok(socket)
}

/// Receives and discards all pending messages.
fn drain(socket: &Socket) -> io::Result<()> {
    loop {
        match socket.recv_from_full() {
            Ok(_) => (),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            // Messages that didn't fit into the socket's buffer also mean that something has changed.
            Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => (),
            Err(error) => return Err(error),
        }
    }
}
