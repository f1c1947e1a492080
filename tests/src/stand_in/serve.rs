//! The running stand-in, which answers on port 123 of a namespace on a separate thread.

use super::StandIn;
use crate::netns::Netns;
use anyhow::{Context as _, Result};
use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// A running stand-in; it ends when this is dropped.
pub struct Serving {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl StandIn {
    /// Starts to answer on port 123 of its address.
    ///
    /// # Errors
    /// The address isn't one of the namespace's, or the port is in use.
    pub fn serve(mut self, netns: &Netns) -> Result<Serving> {
        let socket = netns.enter(|| UdpSocket::bind((self.own, 123))).context("port 123 is taken")?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            while !stopped.load(Relaxed) {
                if let Err(error) = self.answer(&socket) {
                    eprintln!("the stand-in for ntpd 4.2.6p5 ends: {error}");
                    return;
                }
            }
        });
        Ok(Serving { stop, thread: Some(thread) })
    }

    fn answer(&mut self, socket: &UdpSocket) -> io::Result<()> {
        let mut buffer = [0; 1024];
        let (length, from) = match socket.recv_from(&mut buffer) {
            Ok((length, SocketAddr::V4(from))) => (length, from),
            Ok(_) => return Ok(()),
            Err(error) if is_nothing(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        for packet in self.receive(from, &buffer[..length]) {
            match socket.send_to(&packet, from) {
                Err(error) if !is_nothing(&error) => return Err(error),
                _ => (),
            }
        }
        Ok(())
    }
}

/// Whether the error means that no datagram has arrived, or that nobody received an earlier answer.
fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionRefused)
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}
