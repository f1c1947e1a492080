//! The victim of a reflector: it has sent no request, and counts the datagrams that arrive.

use crate::netns::Netns;
use anyhow::{Context as _, Result};
use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};
use std::{
    io::ErrorKind,
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// What has arrived so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Number of datagrams.
    pub packets: u64,
    /// Number of bytes of UDP payload.
    pub bytes: u64,
    /// Number of complete mode 7 replies, with all packets from number 0 to the one marked as the last.
    pub replies: u64,
}

#[derive(Default)]
struct Counted {
    packets: AtomicU64,
    bytes: AtomicU64,
    replies: AtomicU64,
    over: AtomicBool,
}

/// A socket on which a thread counts datagrams until this is dropped.
pub struct Victim {
    counted: Arc<Counted>,
    thread: Option<JoinHandle<()>>,
}

impl Victim {
    /// Listens on an address and port.
    ///
    /// # Errors
    /// The address isn't one of the namespace's, or the port is in use.
    pub fn listen(netns: &Netns, address: &str, port: u16) -> Result<Self> {
        let socket = netns
            .enter(|| UdpSocket::bind(format!("{address}:{port}")))
            .with_context(|| format!("{address} port {port} can't be had"))?;
        // A large buffer, so that nothing is lost when a busy machine reads late.
        setsockopt(&socket, RcvBufForce, &(32 << 20))?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let counted = Arc::new(Counted::default());
        let counts = counted.clone();
        Ok(Self { counted, thread: Some(thread::spawn(move || count(&socket, &counts))) })
    }

    /// What has arrived so far.
    pub fn received(&self) -> Received {
        let Counted { packets, bytes, replies, .. } = &*self.counted;
        let [packets, bytes, replies] = [packets, bytes, replies].map(|counter| counter.load(Relaxed));
        Received { packets, bytes, replies }
    }
}

fn count(socket: &UdpSocket, counted: &Counted) {
    let (mut buffer, mut next) = ([0; 2048], Some(0));
    while !counted.over.load(Relaxed) {
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(error) => return eprintln!("the victim ends: {error}"),
        };
        counted.bytes.fetch_add(length as u64, Relaxed);
        counted.replies.fetch_add(u64::from(completes(&buffer[..length], &mut next)), Relaxed);
        counted.packets.fetch_add(1, Relaxed);
    }
}

/// Whether a datagram is the last one of a reply that arrived completely and in order; `next` is the expected number of the
/// reply's next packet, if nothing is missing so far.
fn completes(datagram: &[u8], next: &mut Option<u8>) -> bool {
    let (head, number) = match datagram {
        [head, number, ..] if head & 0x87 == 0x87 => (*head, *number),
        _ => return false,
    };
    let in_order = number == 0 || *next == Some(number);
    let more = head & 0x40 != 0;
    *next = (in_order && more).then(|| number.wrapping_add(1));
    in_order && !more
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.counted.over.store(true, Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replies(datagrams: &[[u8; 2]]) -> usize {
        let mut next = None;
        datagrams.iter().filter(|datagram| completes(&datagram[..], &mut next)).count()
    }

    #[test]
    fn a_reply_is_whole_if_all_its_packets_came_in_order() {
        assert_eq!(replies(&[[0xd7, 0], [0xd7, 1], [0x97, 2], [0x97, 0]]), 2);
        assert_eq!(replies(&[[0xd7, 0], [0x97, 2]]), 0, "one is missing");
        assert_eq!(replies(&[[0xd7, 1], [0x97, 2]]), 0, "the first one is missing");
        assert_eq!(replies(&[[0xd7, 0], [0xd7, 2], [0xd7, 1], [0x97, 2]]), 0, "out of order");
        assert_eq!(replies(&[[0xd7, 0], [0xd7, 0], [0x97, 1]]), 1, "the next one after one without an end");
        assert_eq!(replies(&[[0x17, 0], [0x24, 0]]), 0, "a request, and time");
    }
}
