//! This host's own addresses, from the kernel (rtnetlink(7)), and word of their changes and of interfaces'.

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

/// Addresses come and go in bunches: how long to wait for the rest of one.
const BUNCH: Duration = Duration::from_millis(100);

/// All addresses of all interfaces, each once.
///
/// # Errors
/// The kernel doesn't tell.
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

/// A socket that becomes readable when an address or an interface comes or goes.
pub struct Changes(AsyncFd<OwnedFd>);

impl Changes {
    /// Listens from now on.
    ///
    /// # Errors
    /// The kernel refuses the socket.
    pub fn listen() -> Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)
            .context("no netlink socket (socket)")?;
        let groups = nix::libc::RTMGRP_IPV4_IFADDR | nix::libc::RTMGRP_IPV6_IFADDR | nix::libc::RTMGRP_LINK;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups as u32)).context("no netlink groups (bind)")?;
        // SAFETY: an OwnedFd stays open, and the same socket, as long as it is owned; here by the AsyncFd.
        let registered = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
        Ok(Self(registered.context("netlink (epoll)")?))
    }

    /// Waits for a change, and for those that come with it. What it was doesn't matter: the addresses are read anew.
    ///
    /// # Errors
    /// The socket is broken.
    pub async fn changed(&self) -> io::Result<()> {
        // Nothing is taken off the socket before the wait, so nothing is lost if this is dropped meanwhile.
        self.0.readable().await?.retain_ready();
        sleep(BUNCH).await;
        loop {
            let mut ready = self.0.readable().await?;
            let received = ready.try_io(|socket| {
                let mut message = [0; 8192];
                Ok(recv(socket.as_raw_fd(), &mut message, MsgFlags::empty())?)
            });
            match received {
                // Messages that didn't fit into the socket's buffer: something changed, too.
                Ok(Err(error)) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => (),
                Ok(received) => drop(received?),
                Err(_would_block) => return Ok(()),
            }
        }
    }
}
