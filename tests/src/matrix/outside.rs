//! The outside of a guest: a namespace to which the guest's cards are connected, which sends requests and counts answers.
//!
//! Each request has its own source port, and an answer is assigned to the request by its destination port.

use super::{agent::ECHO, card::Card};
use crate::{
    client::Wire,
    frame::{Frame, payload},
    netns::Netns,
};
use anyhow::{Context as _, Result};
use nix::{
    net::if_::if_nametoindex,
    sys::{
        socket::{
            AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, SockaddrLike as _, bind, recv,
            setsockopt, socket, sockopt::ReceiveTimeout,
        },
        time::{TimeVal, TimeValLike as _},
    },
};
use std::{
    collections::HashMap,
    os::fd::{AsRawFd as _, OwnedFd},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// monlist, mode 7.
    Monlist,
    /// readvar, mode 6.
    Readvar,
    /// The time, mode 3.
    Time,
    /// The time, over IPv6.
    Time6,
    /// monlist over IPv6.
    Monlist6,
    /// A frame with 8,000 bytes, to another port.
    Long,
}

/// A kind of answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An answer of the responder: mode 4, 6 or 7, or an echo.
    Served,
    /// A kiss-o'-death packet with the code RATE, which the responder never sends.
    Kiss,
}

/// Answers by destination port, each with its time of arrival.
type Answers = Arc<Mutex<HashMap<u16, (Answer, Instant)>>>;

/// The namespace, its wire, and the thread that receives answers.
pub struct Outside {
    /// The namespace that contains the taps.
    pub netns: Netns,
    wire: Arc<Wire>,
    tag: Option<u16>,
    port: Arc<AtomicU16>,
    answers: Answers,
    end: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

/// The numbers of requests of one kind and of the answers to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Requests sent.
    pub sent: usize,
    /// Answered by the responder.
    pub served: usize,
    /// Answered with a kiss.
    pub kisses: usize,
}

impl Outside {
    /// Makes the namespace and the taps.
    ///
    /// # Errors
    /// Not root, or no tun driver.
    pub fn new(card: Card) -> Result<Self> {
        let netns = Netns::new()?;
        let several = if card.queues() > 1 { "multi_queue" } else { "" };
        for number in 0..card.cards() {
            netns.run(&format!("ip tuntap add dev tap{number} mode tap vnet_hdr {several}"))?;
            netns.run(&format!("ip link set tap{number} mtu 9000 up"))?;
        }
        let mut end = "tap0";
        if card.cards() > 1 {
            end = "br0";
            netns.run("ip link add br0 address 02:00:00:00:00:02 type bridge")?;
            for number in 0..card.cards() {
                netns.run(&format!("ip link set tap{number} master br0"))?;
            }
            netns.run("ip link set br0 mtu 9000 up")?;
        }
        let wire = Arc::new(Wire::open_on(&netns, end)?);
        let socket = netns.enter(|| listening(end))?;
        let (answers, stop) = (Answers::default(), Arc::new(AtomicBool::new(false)));
        let heard = (answers.clone(), stop.clone());
        let listener = thread::spawn(move || listen(&socket, &heard.0, &heard.1));
        let port = Arc::new(AtomicU16::new(10_000));
        Ok(Self { netns, wire, tag: card.tag(), port, answers, end: stop, listener: Some(listener) })
    }

    /// Sends `count` requests of a kind from one address, in bursts that fit into a card's ring; returns their source ports.
    ///
    /// # Errors
    /// The wire's queue stays full.
    pub fn send(&self, request: Request, source: &str, count: usize) -> Result<Vec<u16>> {
        let ports: Vec<u16> = (0..count).map(|_| next(&self.port, &self.answers)).collect();
        for burst in ports.chunks(32) {
            for port in burst {
                self.wire.send(&frame(request, source, *port, self.tag))?;
            }
            if burst.len() == 32 {
                thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(ports)
    }

    /// The answers to these ports so far.
    pub fn count(&self, ports: &[u16]) -> Count {
        count(&self.answers, ports)
    }

    /// Waits until all of these ports have an answer; `false` if some have none in time.
    pub fn wait(&self, ports: &[u16], patience: Duration) -> bool {
        let start = Instant::now();
        loop {
            let Count { sent, served, kisses } = self.count(ports);
            if served + kisses >= sent {
                return true;
            }
            if start.elapsed() > patience {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts to send monlist, readvar and time requests until the stream is ended.
    pub fn stream(&self) -> Stream {
        let end = Arc::new(AtomicBool::new(false));
        let (wire, port, tag, over) = (self.wire.clone(), self.port.clone(), self.tag, end.clone());
        let answers = self.answers.clone();
        let sender = thread::spawn(move || {
            let mut sent: Vec<(Request, u16, Instant)> = Vec::new();
            while !over.load(Ordering::Relaxed) {
                for request in [Request::Monlist, Request::Readvar, Request::Time, Request::Monlist6] {
                    let port = next(&port, &answers);
                    let source =
                        if request == Request::Monlist6 { "2001:db8:66::66" } else { "203.0.113.66" };
                    if wire.send(&frame(request, source, port, tag)).is_ok() {
                        sent.push((request, port, Instant::now()));
                    }
                }
                // A stream of more than a few seconds means that the emulator is loading programs, for which it needs the time.
                let pause = if sent.len() < 4000 { 10 } else { 100 };
                thread::sleep(Duration::from_millis(pause));
            }
            sent
        });
        Stream { end, sender, answers: self.answers.clone() }
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(listener) = self.listener.take() {
            // The listener checks the flag several times a second.
            let _ = listener.join();
        }
    }
}

/// Traffic that continues while something happens.
pub struct Stream {
    end: Arc<AtomicBool>,
    sender: JoinHandle<Vec<(Request, u16, Instant)>>,
    answers: Answers,
}

/// The result of a stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flow {
    /// Queries of modes 6 and 7 that were sent.
    pub queries: usize,
    /// Queries that were answered.
    pub leaked: usize,
    /// Time requests that were sent.
    pub time: usize,
    /// Time requests that were answered.
    pub served: usize,
    /// The longest time without an answer to a time request.
    pub silence: Duration,
}

impl Stream {
    /// Ends the stream, and waits for late answers.
    pub fn end(self) -> Flow {
        self.end.store(true, Ordering::Relaxed);
        let sent = self.sender.join().expect("the sender doesn't panic");
        thread::sleep(Duration::from_millis(300));
        let answers = self.answers.lock().expect("nobody panics with it");
        let mut flow = Flow::default();
        let mut last = sent.first().map(|(.., at)| *at);
        for (request, port, at) in &sent {
            let served = answers.get(port).filter(|(answer, _)| *answer == Answer::Served);
            if *request == Request::Time {
                flow.time += 1;
                flow.served += usize::from(served.is_some());
                if served.is_some() {
                    flow.silence = flow.silence.max(last.map_or(Duration::ZERO, |last| *at - last));
                    last = Some(*at);
                }
            } else {
                flow.queries += 1;
                flow.leaked += usize::from(served.is_some());
            }
        }
        if let (Some(last), Some((.., end))) = (last, sent.last()) {
            flow.silence = flow.silence.max(end.saturating_duration_since(last));
        }
        flow
    }
}

/// The next source port. None is used again within fifty thousand requests; an earlier answer to it is removed.
fn next(port: &AtomicU16, answers: &Answers) -> u16 {
    let after = |port: u16| Some(if port >= 60_000 { 10_000 } else { port + 1 });
    let port = port.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after).expect("there is always one");
    answers.lock().expect("nobody panics with it").remove(&port);
    port
}

fn count(answers: &Answers, ports: &[u16]) -> Count {
    let answers = answers.lock().expect("nobody panics with it");
    let mut count = Count { sent: ports.len(), ..Count::default() };
    for (answer, _) in ports.iter().filter_map(|port| answers.get(port)) {
        match answer {
            Answer::Served => count.served += 1,
            Answer::Kiss => count.kisses += 1,
        }
    }
    count
}

fn frame(request: Request, source: &str, port: u16, tag: Option<u16>) -> Vec<u8> {
    let frame = Frame::from(source, port);
    let frame = match request {
        Request::Monlist | Request::Monlist6 => frame.payload(payload::MONLIST),
        Request::Readvar => frame.payload(payload::READVAR),
        Request::Time | Request::Time6 => frame.payload(&payload::time(3, 4)),
        Request::Long => frame.to_port(ECHO).payload(&[0x5a; 7958]),
    };
    match tag {
        Some(tag) => frame.vlan(0x8100, tag).build(),
        None => frame.build(),
    }
}

/// A packet socket on an interface.
fn listening(interface: &str) -> Result<OwnedFd> {
    let protocol = SockProtocol::EthAll;
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
    let address = nix::libc::sockaddr_ll {
        sll_family: nix::libc::AF_PACKET as u16,
        sll_protocol: (nix::libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: if_nametoindex(interface)? as i32,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: the argument is a whole sockaddr_ll with its length.
    let address = unsafe {
        LinkAddr::from_raw((&raw const address).cast(), Some(size_of_val(&address) as nix::libc::socklen_t))
    };
    bind(socket.as_raw_fd(), &address.context("a link address")?)?;
    setsockopt(&socket, ReceiveTimeout, &TimeVal::milliseconds(100))?;
    Ok(socket)
}

/// Records answers until `end` is set.
fn listen(socket: &OwnedFd, answers: &Answers, end: &AtomicBool) {
    let mut buffer = vec![0; 1 << 16];
    while !end.load(Ordering::Relaxed) {
        // A timeout, or an interface that is down for a moment.
        let Ok(length) = recv(socket.as_raw_fd(), &mut buffer, nix::sys::socket::MsgFlags::empty()) else {
            continue;
        };
        if let Some((port, answer)) = answer(&buffer[..length]) {
            answers.lock().expect("nobody panics with it").insert(port, (answer, Instant::now()));
        }
    }
}

/// The destination port of a frame and the kind of answer that it is; `None` if it isn't an answer of the guest.
///
/// The kernel removes a VLAN tag before a packet socket gets the frame.
fn answer(frame: &[u8]) -> Option<(u16, Answer)> {
    let datagram = match frame.get(12..14)? {
        [0x08, 0x00] => frame.get(14 + 4 * usize::from(frame.get(14)? & 15)..)?,
        [0x86, 0xdd] if *frame.get(20)? == 17 => frame.get(54..)?,
        _ => return None,
    };
    let word = |at: usize| Some(u16::from_be_bytes(datagram.get(at..at + 2)?.try_into().ok()?));
    let (source, port, payload) = (word(0)?, word(2)?, datagram.get(8..)?);
    match (source, payload) {
        (ECHO, [_, ..]) => Some((port, Answer::Served)),
        (123, [first, 0, ..]) if first & 7 == 4 && payload.get(12..16) == Some(b"RATE") => {
            Some((port, Answer::Kiss))
        }
        (123, [first, ..]) if matches!(first & 7, 4 | 6 | 7) => Some((port, Answer::Served)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_comes_round_again_has_no_answer_yet() {
        let (port, answers) = (AtomicU16::new(60_000), Answers::default());
        answers.lock().unwrap().insert(60_000, (Answer::Served, Instant::now()));
        let ports = [next(&port, &answers), next(&port, &answers)];
        assert_eq!(ports, [60_000, 10_000]);
        assert_eq!(count(&answers, &ports), Count { sent: 2, served: 0, kisses: 0 });
    }

    /// Answers are built like requests with swapped ports, which is all that is checked here.
    #[test]
    fn answers_are_told_apart() {
        let from_server = |bytes: &[u8]| {
            let mut frame = Frame::from("192.0.2.2", 123).to_port(40_000).payload(bytes).build();
            assert_eq!(answer(&frame).map(|(port, _)| port), answer(&frame).map(|_| 40_000));
            frame.push(0);
            answer(&frame).map(|(_, answer)| answer)
        };
        assert_eq!(from_server(&[0x97, 0, 3, 42, 0, 0, 0, 0]), Some(Answer::Served));
        assert_eq!(from_server(&payload::time(4, 4)), Some(Answer::Served));
        let mut kiss = payload::time(4, 4);
        kiss[12..16].copy_from_slice(b"RATE");
        assert_eq!(from_server(&kiss), Some(Answer::Kiss));
        // A request, as a packet socket also gets the frames that the host itself sends.
        assert_eq!(from_server(&payload::time(3, 4)), None);
        let other = Frame::from("192.0.2.2", 53).to_port(40_000).payload(&payload::time(4, 4)).build();
        assert_eq!(answer(&other), None);
    }
}
