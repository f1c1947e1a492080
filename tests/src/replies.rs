//! Counts the replies of time servers that pass an interface.

use crate::netns::Netns;
use anyhow::Result;
use nix::{
    libc,
    net::if_::if_nametoindex,
    sys::socket::{
        AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike as _, bind, recv,
        setsockopt, socket, sockopt::RcvBuf,
    },
};
use ntpguard_common::wire::{Located, locate};
use std::os::fd::{AsRawFd as _, OwnedFd};

/// A socket that sees what leaves an interface, and what arrives there behind an XDP program.
pub struct Replies {
    socket: OwnedFd,
    seen: u64,
}

impl Replies {
    /// Room for all packets of a test between two looks.
    const BUFFER: usize = 8 << 20;

    /// Begins to see the packets of an interface.
    ///
    /// # Errors
    /// Not root, or there is no such interface.
    pub fn at(host: &Netns, interface: &str) -> Result<Self> {
        host.enter(|| {
            let all = SockProtocol::EthAll;
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let socket = socket(AddressFamily::Packet, SockType::Raw, flags, all)?;
            setsockopt(&socket, RcvBuf, &Self::BUFFER)?;
            bind(socket.as_raw_fd(), &link(interface)?)?;
            Ok(Self { socket, seen: 0 })
        })
    }

    /// The number of replies so far: datagrams from port 123 to port 123 in mode 4.
    pub fn seen(&mut self) -> u64 {
        let mut frame = [0; 2048];
        while let Ok(length) = recv(self.socket.as_raw_fd(), &mut frame, MsgFlags::empty()) {
            self.seen += u64::from(is_reply(&frame[..length.min(frame.len())]));
        }
        self.seen
    }
}

fn is_reply(frame: &[u8]) -> bool {
    let Located::Datagram(datagram) = locate(frame) else { return false };
    datagram.source_port(frame) == Some(123)
        && frame.get(datagram.payload).is_some_and(|first| first & 7 == 4)
}

fn link(interface: &str) -> Result<LinkAddr> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: if_nametoindex(interface)? as i32,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: the argument is a whole sockaddr_ll with its length.
    let link = unsafe {
        LinkAddr::from_raw((&raw const address).cast(), Some(size_of_val(&address) as libc::socklen_t))
    };
    Ok(link.expect("a link address"))
}
