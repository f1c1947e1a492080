//! Hardware timestamps of a card: whether it can make them, and whether they are on.

use super::netlink;
use nix::{
    libc::{self, c_char, c_int, c_void},
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};
use std::{io, os::fd::AsRawFd as _};

/// include/uapi/linux/sockios.h; any user may ask, but not all drivers answer.
const SIOCGHWTSTAMP: libc::Ioctl = 0x89b1;
/// The kernel's limit for interface names, including the zero byte.
const NAME: usize = 16;

/// struct hwtstamp_config (include/uapi/linux/net_tstamp.h).
#[derive(Default)]
#[repr(C)]
struct Config {
    flags: c_int,
    tx_type: c_int,
    rx_filter: c_int,
}

/// struct ifreq, as far as SIOCGHWTSTAMP uses it.
#[repr(C)]
struct Request {
    name: [c_char; NAME],
    data: *mut c_void,
    /// The union is longer than a pointer.
    rest: [u64; 2],
}

/// A card's hardware timestamping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamping {
    /// Whether the card can timestamp received packets (ETHTOOL_MSG_TSINFO_GET); `None` if the kernel doesn't report
    /// it.
    pub receives: Option<bool>,
    /// The number of the card's clock: N of /dev/ptpN.
    pub clock: Option<u32>,
    /// Whether receive timestamps are on (SIOCGHWTSTAMP); `None` if the driver doesn't report it.
    pub on: Option<bool>,
}

impl Timestamping {
    /// Reads it for an interface of this network namespace.
    pub fn of(index: u32, name: &str) -> Self {
        let (receives, clock) = match netlink::timestamps(index) {
            Ok((receives, clock)) => (Some(receives), clock),
            Err(_) => (None, None),
        };
        Self { receives, clock, on: rx_filter(name).ok().map(|filter| filter != 0) }
    }
}

/// The filter for received packets that get a timestamp: 0 for none.
fn rx_filter(name: &str) -> io::Result<c_int> {
    // Any socket will do.
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut config = Config::default();
    let mut request = Request { name: [0; NAME], data: (&raw mut config).cast(), rest: [0; 2] };
    if name.len() >= NAME {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.name.iter_mut().zip(name.bytes()) {
        *to = from as c_char;
    }
    // SAFETY: the request is as long as the kernel's struct ifreq at least, its name ends with a zero, and its data points to
    // a configuration that lives until the call is over.
    let code = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCGHWTSTAMP, &raw mut request) };
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(config.rx_filter) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_no_timestamps_of_hardware() {
        let lo = Timestamping::of(1, "lo");
        assert_eq!((lo.receives, lo.clock, lo.on), (Some(false), None, None));
        assert!(rx_filter("a-name-that-is-too-long").is_err() && rx_filter("none0").is_err());
    }
}
