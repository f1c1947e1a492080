//! The hub's followers: sockets that never make it wait.

use super::{Answer, Request};
use crate::{event::Event, feed::words::hex};
use nix::{
    sys::socket::{getsockopt, sockopt::PeerCredentials},
    unistd::geteuid,
};
use std::{
    io::{ErrorKind, Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
};

/// As many at a time: more than people look at one host.
const MOST: usize = 32;
/// What is kept for one that reads slowly, in bytes: some thousand events.
const PENDING: usize = 1 << 20;
/// How long a request may be.
const REQUEST: usize = 1 << 12;

/// All of them.
pub(super) struct Clients {
    listener: UnixListener,
    clients: Vec<Client>,
}

struct Client {
    stream: UnixStream,
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
        while let Ok((stream, _)) = self.listener.accept() {
            if self.clients.len() < MOST && stream.set_nonblocking(true).is_ok() {
                self.clients.push(Client {
                    stream,
                    said: Vec::new(),
                    request: None,
                    pending: Vec::new(),
                    lost: 0,
                    gone: false,
                });
            }
        }
        for client in &mut self.clients {
            if let Some(request) = client.hear() {
                client.tell(&answer(&request));
                client.request = Some(request);
            }
        }
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
    /// Its request, once the line is whole. Whatever is said afterwards is nobody's business; that it hangs up is.
    fn hear(&mut self) -> Option<Request> {
        let mut bytes = [0; 512];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => {
                    self.gone = true;
                    break;
                }
                Ok(length) if self.request.is_none() => self.said.extend_from_slice(&bytes[..length]),
                Ok(_) => (),
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
        self.tell(&Answer::Refused(refusal.to_owned()));
        self.flush();
        self.gone = true;
        None
    }

    fn is_trusted(&self) -> bool {
        let user = getsockopt(&self.stream, PeerCredentials).map(|credentials| credentials.uid());
        user.is_ok_and(|user| user == 0 || user == geteuid().as_raw())
    }

    fn snaplen(&self) -> u32 {
        match self.request {
            Some(Request::Events { snaplen }) => snaplen,
            _ => 0,
        }
    }

    fn tell(&mut self, answer: &Answer) {
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
            self.tell(&lost);
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
