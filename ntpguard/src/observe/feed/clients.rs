//! The hub's followers: sockets that never block the hub, and users who can't keep others out.
//!
//! Anybody who may connect gets a few places and some seconds to send a request. Some places are reserved for root and the
//! hub's own user, and what is accepted and read in one turn is bounded.

use super::{Answer, Request};
use crate::observe::{event::Event, feed::words::hex};
use nix::{
    sys::socket::{getsockopt, sockopt::PeerCredentials},
    unistd::geteuid,
};
use std::{
    io::{ErrorKind, Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    time::{Duration, Instant},
};

/// The maximum number of followers: more than there are people who watch one host.
const MOST: usize = 32;
/// How many of these places are reserved for root and the hub's own user.
const RESERVED: usize = 8;
/// The maximum number of followers of any other user.
const EACH: usize = 8;
/// The maximum number of connections accepted in one turn, so that a process that keeps connecting can't stall the hub;
/// other connections are accepted at the next turn.
const TURN: usize = 1024;
/// Timeout for a follower to send its request, and to take its answer if it asked for a single one.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);
/// How many bytes are buffered for a slow follower: some thousand events.
const PENDING: usize = 1 << 20;
/// The maximum number of bytes that a follower may send: its request, and nothing after it.
const REQUEST: usize = 1 << 12;

/// All followers.
pub(super) struct Clients {
    listener: UnixListener,
    clients: Vec<Client>,
}

struct Client {
    stream: UnixStream,
    /// The user at the other end; `None` if the kernel doesn't report it.
    user: Option<u32>,
    since: Instant,
    /// The bytes received of its request so far.
    said: Vec<u8>,
    request: Option<Request>,
    /// Bytes that it hasn't taken yet.
    pending: Vec<u8>,
    /// How many events weren't sent to it since the last report of a loss.
    lost: u64,
    gone: bool,
}

impl Clients {
    /// Accepts followers at a socket; there are none yet.
    pub(super) fn new(listener: UnixListener) -> Self {
        Self { listener, clients: Vec::new() }
    }

    /// Accepts new connections and reads requests; `answer` returns the immediate answer to a request.
    pub(super) fn attend(&mut self, mut answer: impl FnMut(&Request) -> Answer) {
        for _ in 0..TURN {
            let Ok((stream, _)) = self.listener.accept() else { break };
            let credentials = getsockopt(&stream, PeerCredentials);
            self.admit(stream, credentials.ok().map(|credentials| credentials.uid()));
        }
        for client in &mut self.clients {
            if let Some(request) = client.hear() {
                client.send(&answer(&request));
                client.request = Some(request);
            }
        }
    }

    /// Gives a user's connection a place, or refuses it with the reason.
    fn admit(&mut self, stream: UnixStream, user: Option<u32>) {
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        let mut client = Client {
            stream,
            user,
            since: Instant::now(),
            said: Vec::new(),
            request: None,
            pending: Vec::new(),
            lost: 0,
            gone: false,
        };
        let of_user = self.clients.iter().filter(|other| other.user == user).count();
        let room = if client.is_trusted() { MOST } else { MOST - RESERVED };
        if self.clients.len() < room && (client.is_trusted() || of_user < EACH) {
            self.clients.push(client);
            return;
        }
        client.refuse("too many look already: end one of the commands that follow events, and try again");
    }

    /// The largest number of bytes of each frame that a follower asked for.
    pub(super) fn snaplen(&self) -> u32 {
        self.clients.iter().map(|client| client.snaplen()).max().unwrap_or(0)
    }

    /// Sends an event to those who follow events, with the bytes of its frame that they asked for.
    pub(super) fn event(&mut self, event: &Event, frame: &[u8]) {
        let mut bare = None;
        for client in
            self.clients.iter_mut().filter(|client| matches!(client.request, Some(Request::Events { .. })))
        {
            let snaplen = client.snaplen() as usize;
            if snaplen == 0 {
                let line = bare.get_or_insert_with(|| line(&Answer::Event(event.clone())));
                client.offer(line);
            } else {
                let frame = Some(hex(&frame[..frame.len().min(snaplen)]));
                client.offer(&line(&Answer::Event(Event { frame, ..event.clone() })));
            }
        }
    }

    /// Writes what the followers can take, and removes those that are gone.
    pub(super) fn flush(&mut self) {
        self.clients.iter_mut().for_each(Client::flush);
        self.clients.retain(|client| !client.gone);
    }
}

impl Client {
    /// Its request, once the line is complete. Later it still notices that the follower has hung up. A follower that sends
    /// too much, or no request in time, is marked as gone.
    fn hear(&mut self) -> Option<Request> {
        let follows = matches!(self.request, Some(Request::Events { .. }));
        if !follows && self.since.elapsed() > CLIENT_TIMEOUT {
            self.gone = true;
            return None;
        }
        let mut bytes = [0; 512];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => {
                    self.gone = true;
                    break;
                }
                Ok(length) => self.said.extend_from_slice(&bytes[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) => {
                    self.gone |= error.kind() != ErrorKind::WouldBlock;
                    break;
                }
            }
            if self.said.len() > REQUEST {
                self.gone = true;
                break;
            }
        }
        if self.request.is_some() {
            return None;
        }
        let end = self.said.iter().position(|byte| *byte == b'\n')?;
        let request = serde_json::from_slice(&self.said[..end]);
        let refusal = match request {
            Ok(Request::Events { snaplen: 1.. }) if !self.is_trusted() => {
                "whole packets are shown to the guard's own user and to root alone"
            }
            Ok(request) => return Some(request),
            Err(_) => "the ntpguard that guards is of another version: restart one of the two",
        };
        self.refuse(refusal);
        None
    }

    /// Sends the reason, and marks it as gone.
    fn refuse(&mut self, why: &str) {
        self.send(&Answer::Refused(why.to_owned()));
        self.flush();
        self.gone = true;
    }

    /// Whether it is run by root or by the hub's own user.
    fn is_trusted(&self) -> bool {
        self.user.is_some_and(|user| user == 0 || user == geteuid().as_raw())
    }

    fn snaplen(&self) -> u32 {
        match self.request {
            Some(Request::Events { snaplen }) => snaplen,
            _ => 0,
        }
    }

    fn send(&mut self, answer: &Answer) {
        self.pending.extend_from_slice(&line(answer));
    }

    /// Adds an event to what it gets, unless it is too far behind.
    fn offer(&mut self, line: &[u8]) {
        if self.pending.len() + line.len() > PENDING {
            self.lost += 1;
            return;
        }
        if self.lost > 0 {
            let lost = Answer::Lost(std::mem::take(&mut self.lost));
            self.send(&lost);
        }
        self.pending.extend_from_slice(line);
    }

    fn flush(&mut self) {
        let mut written = 0;
        while written < self.pending.len() {
            match self.stream.write(&self.pending[written..]) {
                Ok(0) => break,
                Ok(length) => written += length,
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) => {
                    self.gone |= error.kind() != ErrorKind::WouldBlock;
                    break;
                }
            }
        }
        self.pending.drain(..written);
    }
}

fn line(answer: &Answer) -> Vec<u8> {
    // Serialisation can't fail: an answer consists of numbers, strings and lists.
    let mut line = serde_json::to_vec(answer).unwrap_or_default();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{BufRead as _, BufReader},
        os::unix::net::UnixListener,
    };

    /// A hub without followers.
    fn nobody() -> Clients {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        listener.set_nonblocking(true).unwrap();
        Clients::new(listener)
    }

    /// Connects as a user; returns the user's end.
    fn connect(clients: &mut Clients, user: u32) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        clients.admit(ours, Some(user));
        theirs
    }

    fn turn(clients: &mut Clients) {
        clients.attend(|_| Answer::Ready);
        clients.flush();
    }

    /// The first answer.
    fn answer(stream: &UnixStream) -> Answer {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn silent_users_take_nobodys_place() {
        let mut clients = nobody();
        let mut silent: Vec<_> = (0..100).map(|_| connect(&mut clients, 1000)).collect();
        assert!(matches!(answer(&silent[EACH]), Answer::Refused(_)));
        // Others still get a place, and if they are many, too, root still does.
        assert!(matches!(ask(&mut clients, 1001), Answer::Ready));
        silent.extend((0..100).map(|user| connect(&mut clients, 2000 + user)));
        assert!(matches!(answer(silent.last().unwrap()), Answer::Refused(_)));
        assert!(matches!(ask(&mut clients, 0), Answer::Ready));
        // Those that don't send a request in time are removed.
        clients.clients.iter_mut().for_each(|client| client.since -= CLIENT_TIMEOUT * 2);
        turn(&mut clients);
        assert_eq!(clients.clients.len(), 2, "those who follow stay");
    }

    /// Follows events as a user.
    fn ask(clients: &mut Clients, user: u32) -> Answer {
        let mut stream = connect(clients, user);
        writeln!(stream, "{}", serde_json::to_string(&Request::Events { snaplen: 0 }).unwrap()).unwrap();
        turn(clients);
        let answer = answer(&stream);
        // The connection stays open for the whole test.
        std::mem::forget(stream);
        answer
    }

    #[test]
    fn whoever_never_stops_talking_is_let_go() {
        let mut clients = nobody();
        for first in ["", "{\"events\":{\"snaplen\":0}}\n"] {
            let mut talker = connect(&mut clients, 1000);
            talker.set_nonblocking(true).unwrap();
            talker.write_all(first.as_bytes()).unwrap();
            turn(&mut clients);
            assert_eq!(clients.clients.len(), 1);
            while talker.write(&[b'x'; 4096]).is_ok() {}
            turn(&mut clients);
            assert_eq!(clients.clients.len(), 0);
        }
    }
}
