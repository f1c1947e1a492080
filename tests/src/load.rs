//! A steady load on a server's port 123, and a socket in the daemon's place that counts what passes.

use crate::{
    client::Wire,
    frame::{Frame, payload},
    netns::{Lab, Netns},
};
use anyhow::{Context as _, Result};
use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};
use std::{
    io::ErrorKind,
    net::UdpSocket,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

/// A source whose time requests both policies allow.
pub const CLIENT: &str = "198.18.0.7";
/// A source whose time requests a rule of both policies drops.
pub const REFUSED: &str = "203.0.113.66";
/// Number of datagrams of each kind in a burst, and the time between two bursts: about ten thousand datagrams a second in
/// all, few enough that no buffer overflows while a loaded machine is busy.
const BURST: usize = 10;
const PAUSE: Duration = Duration::from_millis(2);

/// The numbers of datagrams sent and passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Through {
    /// Time requests sent.
    pub asked: u64,
    /// Time requests that reached the socket.
    pub arrived: u64,
    /// Attacks sent: monlist, which is dropped before any rule is looked up, and time requests that a rule drops.
    pub attacks: u64,
    /// Attacks that reached the socket.
    pub leaked: u64,
}

/// Sends time requests and attacks while `work` runs, and counts both.
///
/// # Errors
/// Not root, or a daemon has the port.
pub fn under_load(lab: &Lab, work: impl FnOnce() -> Result<()>) -> Result<Through> {
    let socket = listen(&lab.server)?;
    let wire = Wire::open(&lab.outside)?;
    let request = Frame::from(CLIENT, 40000).payload(&payload::time(3, 4)).build();
    let attack = Frame::from("192.0.2.66", 40000).payload(payload::MONLIST).build();
    // In another mode than the client's requests, so that they can be told apart.
    let refused = Frame::from(REFUSED, 40000).payload(&payload::time(1, 4)).build();
    let (stop, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let [asked, attacks, arrived, leaked] = [const { AtomicU64::new(0) }; 4];
    thread::scope(|scope| {
        let sender = scope.spawn(|| -> Result<()> {
            while !stop.load(Relaxed) {
                for _ in 0..BURST {
                    wire.send(&request)?;
                    wire.send(&attack)?;
                    wire.send(&refused)?;
                    asked.fetch_add(1, Relaxed);
                    attacks.fetch_add(2, Relaxed);
                }
                thread::sleep(PAUSE);
            }
            Ok(())
        });
        let receiver = scope.spawn(|| -> Result<()> {
            let mut bytes = [0; 2048];
            loop {
                match socket.recv(&mut bytes) {
                    Ok(_) if bytes[0] & 7 == 3 => arrived.fetch_add(1, Relaxed),
                    Ok(_) => leaked.fetch_add(1, Relaxed),
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                        if over.load(Relaxed) {
                            return Ok(());
                        }
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
            }
        });
        let done = work();
        stop.store(true, Relaxed);
        let sent = sender.join().expect("the sender doesn't panic");
        over.store(true, Relaxed);
        let received = receiver.join().expect("the receiver doesn't panic");
        done.and(sent).and(received)
    })?;
    let [asked, attacks, arrived, leaked] = [asked, attacks, arrived, leaked].map(AtomicU64::into_inner);
    Ok(Through { asked, arrived, attacks, leaked })
}

/// A socket in the daemon's place, whose buffer holds a second of load.
fn listen(netns: &Netns) -> Result<UdpSocket> {
    let socket = netns.enter(|| UdpSocket::bind("0.0.0.0:123")).context("port 123 is taken")?;
    setsockopt(&socket, RcvBufForce, &(32 << 20))?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    Ok(socket)
}
