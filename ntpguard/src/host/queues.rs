//! Frames received by each queue, from the driver's statistics as `ethtool --statistics` shows them.
//!
//! Each driver names its statistics itself. Those in [`NAMES`] were read from the sources of Linux 6.1 and 6.12.

use nix::{
    libc::{self, c_char, c_void},
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};
use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    os::fd::{AsRawFd as _, OwnedFd},
};

/// include/uapi/linux/sockios.h.
const SIOCETHTOOL: libc::Ioctl = 0x8946;
/// include/uapi/linux/ethtool.h; any user may make these requests.
const GSTRINGS: u32 = 0x1b;
const GSTATS: u32 = 0x1d;
const GSSET_INFO: u32 = 0x37;
const ETH_SS_STATS: u32 = 1;
/// The length of a statistic's name, padded with zero bytes.
const NAME: usize = 32;
/// The kernel's limit for interface names, including the zero byte.
const INTERFACE: usize = 16;
/// The number of queues may grow between two requests, and the kernel then writes as many values as there are, however
/// much room was announced (net/ethtool/ioctl.c:ethtool_get_stats). This many spare values fit.
const SPARE: usize = 16_384;

/// What precedes and follows the queue's number in the name of the counter of its received frames.
const NAMES: [(&str, &str); 4] = [
    // hv_netvsc, ice, igb, igc, ixgbe, ixgbevf, and virtio_net before Linux 6.10.
    ("rx_queue_", "_packets"),
    // mlx4, mlx5, and virtio_net since then.
    ("rx", "_packets"),
    // i40e.
    ("rx-", ".packets"),
    // ena.
    ("queue_", "_rx_cnt"),
];
/// veth uses this name for all frames that a queue receives, but virtio_net, in addition to its other counter, for the
/// frames that its program has seen. So it is used only if none of the other names occurs.
const LAST_RESORT: (&str, &str) = ("rx_queue_", "_xdp_packets");

/// Frames received, by queue number.
pub type Received = BTreeMap<u32, u64>;

/// The number of frames that each receive queue of an interface has received; empty if the driver has no counters by
/// queue, or under other names.
///
/// # Errors
/// There is no such interface, or its driver has no statistics.
pub fn received(interface: &str) -> io::Result<Received> {
    // Any socket will do.
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // The command, a reserved word, a 64-bit mask of the sets asked for, and the answer: the length of the one set.
    let set = 1 << ETH_SS_STATS;
    let [first, second] = if cfg!(target_endian = "big") { [0, set] } else { [set, 0] };
    let mut info = [GSSET_INFO, 0, first, second, 0];
    ask(&socket, interface, info.as_mut_ptr().cast())?;
    let length = info[4] as usize;
    if length == 0 {
        return Ok(Received::new());
    }
    // The command, the set and the length, followed by the names.
    let mut names = vec![0_u32; 3 + (length + SPARE) * NAME / size_of::<u32>()];
    names[..2].copy_from_slice(&[GSTRINGS, ETH_SS_STATS]);
    ask(&socket, interface, names.as_mut_ptr().cast())?;
    // The command and the length in one word, followed by the values.
    let mut values = vec![0_u64; 1 + length + SPARE];
    let mut head = [0; size_of::<u64>()];
    head[..4].copy_from_slice(&GSTATS.to_ne_bytes());
    values[0] = u64::from_ne_bytes(head);
    ask(&socket, interface, values.as_mut_ptr().cast())?;
    let [.., a, b, c, d] = values[0].to_ne_bytes();
    // The number of statistics has changed meanwhile, so names and values may not match.
    if [names[2], u32::from_ne_bytes([a, b, c, d])].iter().any(|now| *now as usize != length) {
        return Err(ErrorKind::Interrupted.into());
    }
    let words = names[3..].chunks_exact(NAME / size_of::<u32>()).take(length);
    let names = words.map(|words| {
        let name: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(NAME);
        String::from_utf8_lossy(&name[..end]).into_owned()
    });
    let all: Vec<_> = names.zip(values[1..].iter().copied()).collect();
    Ok(by_queue(all.iter().map(|(name, value)| (name.as_str(), *value))))
}

/// Picks the counters of received frames from a driver's statistics.
fn by_queue<'a>(statistics: impl Iterator<Item = (&'a str, u64)> + Clone) -> Received {
    let named = |names: &[(&str, &str)]| -> Received {
        let number = |name: &str| names.iter().find_map(|around| queue(name, around));
        statistics.clone().filter_map(|(name, value)| Some((number(name)?, value))).collect()
    };
    let found = named(&NAMES);
    if found.is_empty() { named(&[LAST_RESORT]) } else { found }
}

/// The number between `before` and `after` in a name, if there is one.
fn queue(name: &str, (before, after): &(&str, &str)) -> Option<u32> {
    let number = name.strip_prefix(before)?.strip_suffix(after)?;
    // Parsing would also accept a sign.
    number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok()).flatten()
}

/// struct ifreq, as far as SIOCETHTOOL uses it.
#[repr(C)]
struct Request {
    name: [c_char; INTERFACE],
    data: *mut c_void,
    /// The union is longer than a pointer.
    rest: [u64; 2],
}

/// Performs the request at `data`, which has room for the answer.
fn ask(socket: &OwnedFd, interface: &str, data: *mut c_void) -> io::Result<()> {
    let mut request = Request { name: [0; INTERFACE], data, rest: [0; 2] };
    if interface.len() >= INTERFACE {
        return Err(ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.name.iter_mut().zip(interface.bytes()) {
        *to = from as c_char;
    }
    // SAFETY: the request is as long as the kernel's struct ifreq at least, its name ends with a zero, and its data points to
    // a question with room for the answer, which lives until the call is over.
    let code = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(names: &[&str]) -> Vec<(u32, u64)> {
        by_queue(names.iter().copied().zip(10..)).into_iter().collect()
    }

    #[test]
    fn each_drivers_names_are_known() {
        for names in [
            ["rx_queue_0_packets", "rx_queue_11_packets"],
            ["rx0_packets", "rx11_packets"],
            ["rx-0.packets", "rx-11.packets"],
            ["queue_0_rx_cnt", "queue_11_rx_cnt"],
            ["rx_queue_0_xdp_packets", "rx_queue_11_xdp_packets"],
        ] {
            assert_eq!(counts(&names), [(0, 10), (11, 11)], "{names:?}");
        }
    }

    #[test]
    fn other_statistics_count_nothing() {
        let others = [
            "rx_packets",
            "rx_queue__packets",
            "rx_queue_+1_packets",
            "tx_queue_0_packets",
            "rx_prio0_packets",
        ];
        assert_eq!(counts(&others), []);
        // Frames that a program has seen aren't all that were received.
        assert_eq!(counts(&["rx_queue_0_packets", "rx_queue_0_xdp_packets"]), [(0, 10)]);
        assert_eq!(counts(&["rx_queue_99999999999_packets"]), []);
    }

    #[test]
    fn loopback_has_no_statistics() {
        assert!(received("lo").map_or(true, |received| received.is_empty()));
        assert!(received("a-name-that-is-too-long").is_err() && received("none0").is_err());
    }
}
