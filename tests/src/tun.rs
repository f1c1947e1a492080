//! A tun device: an interface without a link layer, whose other end is a file descriptor.

use crate::netns::Netns;
use anyhow::{Context as _, Result};
use nix::libc::{IFF_NO_PI, IFF_TUN, TUNSETIFF, c_char, c_short, ifreq, ioctl};
use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    mem::zeroed,
    os::fd::AsRawFd as _,
};

/// The device; it is removed when this is dropped.
pub struct Tun(File);

impl Tun {
    /// Makes a device in a namespace, and sets it up.
    ///
    /// # Errors
    /// No tun driver, or not root.
    pub fn new(netns: &Netns, name: &str) -> Result<Self> {
        let file = netns.enter(|| -> Result<File> {
            let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
            // SAFETY: the structure consists of numbers and arrays of numbers, for which zero is valid.
            let mut request: ifreq = unsafe { zeroed() };
            for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
                *to = from as c_char;
            }
            request.ifr_ifru.ifru_flags = (IFF_TUN | IFF_NO_PI) as c_short;
            // SAFETY: the kernel reads and writes one ifreq.
            let status = unsafe { ioctl(file.as_raw_fd(), TUNSETIFF, &raw mut request) };
            if status < 0 {
                return Err(io::Error::last_os_error()).context("TUNSETIFF");
            }
            Ok(file)
        })?;
        netns.run(&format!("ip link set {name} up"))?;
        Ok(Self(file))
    }

    /// Injects an IP packet that arrives by the device.
    ///
    /// # Errors
    /// The device is down.
    pub fn send(&self, packet: &[u8]) -> Result<()> {
        Ok((&self.0).write_all(packet)?)
    }
}
