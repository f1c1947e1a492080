//! Clients and attackers: they send packets and count the answers.

use crate::netns::{INTERFACE, Netns};
use anyhow::{Context as _, Result};
use nix::{
    net::if_::if_nametoindex,
    sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike as _, sendto, socket},
};
use std::{
    collections::HashSet,
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::{AsRawFd as _, OwnedFd},
    thread,
    time::{Duration, Instant},
};

/// The numbers of datagrams sent and received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// Datagrams sent.
    pub sent: u64,
    /// Answers received.
    pub answers: u64,
}

/// Sends a request to port 123 and waits for its answer, `count` times.
///
/// # Errors
/// `from` isn't an address of the namespace.
pub fn ask(netns: &Netns, from: &str, to: &str, payload: &[u8], count: u64) -> Result<Exchange> {
    netns.enter(|| {
        let socket = connected(from, to)?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        let mut exchange = Exchange::default();
        for _ in 0..count {
            send(|| socket.send(payload))?;
            exchange.sent += 1;
            receive(&socket, &mut exchange, 1)?;
        }
        Ok(exchange)
    })
}

/// Sends `count` datagrams to port 123 in bursts, as fast as possible, and counts answers until there is a pause.
///
/// # Errors
/// `from` isn't an address of the namespace.
pub fn flood(netns: &Netns, from: &str, to: &str, payload: &[u8], count: u64) -> Result<Exchange> {
    /// Few enough for the socket buffers on both sides, so that no answer is lost.
    const BURST: u64 = 64;
    const PAUSE: Duration = Duration::from_millis(300);
    netns.enter(|| {
        let socket = connected(from, to)?;
        let mut exchange = Exchange::default();
        while exchange.sent < count {
            for _ in 0..BURST.min(count - exchange.sent) {
                send(|| socket.send(payload))?;
                exchange.sent += 1;
            }
            socket.set_read_timeout(Some(Duration::from_millis(2)))?;
            receive(&socket, &mut exchange, u64::MAX)?;
        }
        socket.set_read_timeout(Some(PAUSE))?;
        receive(&socket, &mut exchange, u64::MAX)?;
        Ok(exchange)
    })
}

/// A datagram that is sent from a socket of its own.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The source address: one of the namespace's.
    pub from: IpAddr,
    /// The UDP source port; 0 for any.
    pub port: u16,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// Sends each probe from its own socket to port 123 of the address of its family, and reports which ones were answered.
/// A request of the daemon's own, to a probe's source as one of its servers, is no answer.
///
/// # Errors
/// A source address isn't one of the namespace's, or a port is in use.
pub fn answered(netns: &Netns, probes: &[Probe], to: [IpAddr; 2]) -> Result<Vec<bool>> {
    /// Few enough at a time that no buffer overflows.
    const AT_ONCE: usize = 64;
    const ANSWER_TIMEOUT: Duration = Duration::from_millis(300);
    netns.enter(|| {
        let mut answered = vec![false; probes.len()];
        let mut left: Vec<usize> = (0..probes.len()).collect();
        while !left.is_empty() {
            // A given port can be bound only once at a time.
            let (mut taken, mut round, mut later) = (HashSet::new(), Vec::new(), Vec::new());
            for at in left {
                let Probe { from, port, .. } = probes[at];
                let free = round.len() < AT_ONCE && (port == 0 || taken.insert((from, port)));
                if free { &mut round } else { &mut later }.push(at);
            }
            let sockets: Vec<_> = round.iter().map(|at| probe(&probes[*at], to)).collect::<Result<_>>()?;
            let start = Instant::now();
            for (at, socket) in round.iter().zip(&sockets) {
                answered[*at] = answers(socket, start + ANSWER_TIMEOUT)?;
            }
            left = later;
        }
        Ok(answered)
    })
}

/// Whether anything but a request arrives until then.
fn answers(socket: &UdpSocket, until: Instant) -> Result<bool> {
    let mut buffer = [0; 2048];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        socket.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        match socket.recv(&mut buffer) {
            Ok(_) if matches!(buffer[0] & 7, 1 | 3) => (),
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => (),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn probe(probe: &Probe, [v4, v6]: [IpAddr; 2]) -> Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddr::new(probe.from, probe.port))
        .with_context(|| format!("{} port {} can't be had", probe.from, probe.port))?;
    socket.connect(SocketAddr::new(if probe.from.is_ipv4() { v4 } else { v6 }, 123))?;
    send(|| socket.send(&probe.payload))?;
    Ok(socket)
}

/// The outside's end of the wire, written to directly, without a network stack.
pub struct Wire {
    socket: OwnedFd,
    to: LinkAddr,
}

impl Wire {
    /// Opens the lab's wire.
    ///
    /// # Errors
    /// Not root.
    pub fn open(netns: &Netns) -> Result<Self> {
        Self::open_on(netns, INTERFACE)
    }

    /// Opens the wire of another interface.
    ///
    /// # Errors
    /// Not root, or there is no such interface.
    pub fn open_on(netns: &Netns, interface: &str) -> Result<Self> {
        netns.enter(|| {
            let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
            Ok(Self { socket, to: link(interface)? })
        })
    }

    /// Sends a whole frame.
    ///
    /// # Errors
    /// The frame is too long, or the queue stays full for a second.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        send(|| Ok(sendto(self.socket.as_raw_fd(), frame, &self.to, MsgFlags::empty())?))
    }
}

fn link(interface: &str) -> Result<LinkAddr> {
    let address = nix::libc::sockaddr_ll {
        sll_family: nix::libc::AF_PACKET as u16,
        sll_protocol: 0,
        sll_ifindex: if_nametoindex(interface)? as i32,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [0; 8],
    };
    // SAFETY: the argument is a whole sockaddr_ll with its length.
    let link = unsafe {
        LinkAddr::from_raw((&raw const address).cast(), Some(size_of_val(&address) as nix::libc::socklen_t))
    };
    link.context("a link address")
}

fn connected(from: &str, to: &str) -> Result<UdpSocket> {
    let (from, to): (IpAddr, IpAddr) = (from.parse()?, to.parse()?);
    let socket = UdpSocket::bind(SocketAddr::new(from, 0)).with_context(|| format!("{from} isn't ours"))?;
    socket.connect(SocketAddr::new(to, 123))?;
    Ok(socket)
}

/// Sends once; retries when a queue is full, or when an ICMP error for an earlier datagram is reported.
///
/// A loaded machine empties a wire's queue late, and the sender gets an error then: what was refused wasn't sent.
fn send(mut once: impl FnMut() -> io::Result<usize>) -> Result<()> {
    for _ in 0..1000 {
        match once() {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => (),
            Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => {
                thread::sleep(Duration::from_millis(1))
            }
            Err(error) => return Err(error.into()),
        }
    }
    anyhow::bail!("the wire takes nothing more")
}

/// Receives up to `most` answers, until the socket's timeout.
fn receive(socket: &UdpSocket, exchange: &mut Exchange, most: u64) -> Result<()> {
    let mut buffer = [0; 2048];
    let mut received = 0;
    while received < most {
        match socket.recv(&mut buffer) {
            Ok(_) => {
                exchange.answers += 1;
                received += 1;
            }
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => (),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
