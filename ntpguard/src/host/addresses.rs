//! This host's own addresses, from the kernel (rtnetlink(7)), and notice of changes to them and to interfaces.

use anyhow::{Context as _, Result};
use nix::{
    ifaddrs::getifaddrs,
    sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
    },
};
use std::{
    collections::BTreeSet,
    io,
    net::IpAddr,
    os::fd::{AsRawFd as _, OwnedFd},
    time::Duration,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::sleep,
};

/// Addresses come and go in bursts; this is how long to wait for the rest of one.
const BUNCH: Duration = Duration::from_millis(100);

/// All addresses of all interfaces, each once.
///
/// # Errors
/// The kernel doesn't report them.
pub fn addresses() -> Result<Vec<IpAddr>> {
    let interfaces = getifaddrs().context("the kernel doesn't tell this host's addresses (getifaddrs)")?;
    let addresses: BTreeSet<IpAddr> = interfaces
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|address| address.ip().into());
            v4.or(address.as_sockaddr_in6().map(|address| address.ip().into()))
        })
        .collect();
    Ok(addresses.into_iter().collect())
}

/// A netlink socket that becomes readable when an address or an interface comes or goes.
pub struct Changes(AsyncFd<OwnedFd>);

impl Changes {
    /// Listens for changes from now on.
    ///
    /// # Errors
    /// The kernel refuses the socket.
    pub fn listen() -> Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)
            .context("no netlink socket (socket)")?;
        let groups = nix::libc::RTMGRP_IPV4_IFADDR | nix::libc::RTMGRP_IPV6_IFADDR | nix::libc::RTMGRP_LINK;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups as u32)).context("no netlink groups (bind)")?;
        // SAFETY: an OwnedFd stays open, and the same socket, as long as it is owned; here the AsyncFd owns it.
        let registered = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
        Ok(Self(registered.context("netlink (epoll)")?))
    }

    /// Waits for a change, and for others that come with it. Which one it was doesn't matter, since the addresses are
    /// read anew.
    ///
    /// # Errors
    /// The socket fails.
    pub async fn changed(&self) -> io::Result<()> {
        // Nothing is read from the socket before the sleep, so nothing is lost if this future is dropped meanwhile.
        self.0.readable().await?.retain_ready();
        sleep(BUNCH).await;
        loop {
            let mut ready = self.0.readable().await?;
            let received = ready.try_io(|socket| {
                let mut message = [0; 8192];
                Ok(recv(socket.as_raw_fd(), &mut message, MsgFlags::empty())?)
            });
            match received {
                // Messages that didn't fit into the socket's buffer also mean that something has changed.
                Ok(Err(error)) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => (),
                Ok(received) => drop(received?),
                Err(_would_block) => return Ok(()),
            }
        }
    }
}
