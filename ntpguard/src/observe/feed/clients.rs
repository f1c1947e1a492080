//! The hub's followers: sockets that never make it wait, and users who don't shut each other out.
//!
//! Whoever may connect gets a few places and some seconds to ask; some places are left to root and the hub's own user, and what
//! is read and accepted in one turn has a bound.

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

/// Followers at a time: more than people look at one host.
const MOST: usize = 32;
/// Of these places, those that root and the hub's own user alone get.
const RESERVED: usize = 8;
/// Places that any other user gets.
const EACH: usize = 8;
/// Connections accepted in one turn: a busy connector doesn't keep the hub from its work, and whoever waits behind it gets in
/// at the next turn.
const TURN: usize = 1024;
/// How long a follower may take to ask, and one that gets a single answer to take it.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);
/// What is kept for one that reads slowly, in bytes: some thousand events.
const PENDING: usize = 1 << 20;
/// The bytes that a follower may send in all: its request, and nothing after it.
const REQUEST: usize = 1 << 12;

/// All of them.
pub(super) struct Clients {
    listener: UnixListener,
    clients: Vec<Client>,
}

struct Client {
    stream: UnixStream,
    /// The user at the other end; `None` if the kernel doesn't tell.
    user: Option<u32>,
    since: Instant,
    /// What it has said of its request so far.
    said: Vec<u8>,
    request: Option<Request>,
    /// What it hasn't taken yet.
    pending: Vec<u8>,
    /// Events that it wasn't told of.
    lost: u64,
    gone: bool,
}

impl Clients {
    /// Those that come to a socket.
    pub(super) fn new(listener: UnixListener) -> Self {
        Self { listener, clients: Vec::new() }
    }

    /// Takes in those who have come, and hears what they ask for; `answer` has what is to be said to each request at once.
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

    /// Gives a user's connection a place, or says why there is none.
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

    /// How many bytes of each frame somebody wants.
    pub(super) fn snaplen(&self) -> u32 {
        self.clients.iter().map(|client| client.snaplen()).max().unwrap_or(0)
    }

    /// Tells those who follow of an event, with the bytes of its frame that came along.
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

    /// Hands over what they take, and lets go of those that are gone.
    pub(super) fn flush(&mut self) {
        self.clients.iter_mut().for_each(Client::flush);
        self.clients.retain(|client| !client.gone);
    }
}

impl Client {
    /// Its request, once the line is whole. That it hangs up is noticed afterwards, too; one that goes on talking, or doesn't
    /// ask in time, is let go.
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

    /// Says why, and lets it go.
    fn refuse(&mut self, why: &str) {
        self.send(&Answer::Refused(why.to_owned()));
        self.flush();
        self.gone = true;
    }

    /// Whether it is root or the hub's own user.
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

    /// One event more, unless it is too far behind.
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
    // It is made of numbers, words and lists.
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

    /// Nobody who has a place.
    fn nobody() -> Clients {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        listener.set_nonblocking(true).unwrap();
        Clients::new(listener)
    }

    /// A connection of a user: their end.
    fn connect(clients: &mut Clients, user: u32) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        clients.admit(ours, Some(user));
        theirs
    }

    fn turn(clients: &mut Clients) {
        clients.attend(|_| Answer::Ready);
        clients.flush();
    }

    /// What is answered first.
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
        // Others still get in; and when these are many, too, root does.
        assert!(matches!(ask(&mut clients, 1001), Answer::Ready));
        silent.extend((0..100).map(|user| connect(&mut clients, 2000 + user)));
        assert!(matches!(answer(silent.last().unwrap()), Answer::Refused(_)));
        assert!(matches!(ask(&mut clients, 0), Answer::Ready));
        // Those who don't ask in time are let go.
        clients.clients.iter_mut().for_each(|client| client.since -= CLIENT_TIMEOUT * 2);
        turn(&mut clients);
        assert_eq!(clients.clients.len(), 2, "those who follow stay");
    }

    /// Follows, as a user.
    fn ask(clients: &mut Clients, user: u32) -> Answer {
        let mut stream = connect(clients, user);
        writeln!(stream, "{}", serde_json::to_string(&Request::Events { snaplen: 0 }).unwrap()).unwrap();
        turn(clients);
        let answer = answer(&stream);
        // It stays open as long as the test.
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
