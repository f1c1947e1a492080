//! Trains of requests at a steady rate, and the numbers of answers of each kind.

use crate::{frame::payload, netns::Netns};
use anyhow::{Context as _, Result};
use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

/// The numbers of requests and answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Requests sent.
    pub sent: u64,
    /// Answers with time.
    pub times: u64,
    /// Kisses: stratum 0, kiss code RATE.
    pub kisses: u64,
}

/// Sends `count` client requests from an address to port 123, at `rate` requests a second.
///
/// # Errors
/// `from` isn't an address of the namespace.
pub fn send(netns: &Netns, from: &str, to: &str, rate: u32, count: u32) -> Result<Answers> {
    let (from, to): (IpAddr, IpAddr) = (from.parse()?, to.parse()?);
    netns.enter(|| {
        let socket =
            UdpSocket::bind(SocketAddr::new(from, 0)).with_context(|| format!("{from} isn't ours"))?;
        socket.connect(SocketAddr::new(to, 123))?;
        socket.set_nonblocking(true)?;
        let (start, mut answers) = (Instant::now(), Answers::default());
        // Time for the late answers of a busy daemon.
        let last = Duration::from_secs(2);
        for number in 0..count {
            let due = start + Duration::from_secs(1) * number / rate;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            receive(&socket, &mut answers)?;
            // A request that a full queue refuses counts as lost, as it would be on a wire.
            answers.sent += u64::from(socket.send(&payload::time(3, 4)).is_ok());
        }
        thread::sleep(last);
        receive(&socket, &mut answers)?;
        Ok(answers)
    })
}

fn receive(socket: &UdpSocket, answers: &mut Answers) -> Result<()> {
    let mut buffer = [0; 512];
    loop {
        match socket.recv(&mut buffer) {
            Ok(48..) if buffer[1] == 0 && &buffer[12..16] == b"RATE" => answers.kisses += 1,
            Ok(_) => answers.times += 1,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => (),
            Err(error) => return Err(error.into()),
        }
    }
}
