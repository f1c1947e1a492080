//! What a driver counts by receive queue, as `ethtool --statistics` shows it.
//!
//! The names of statistics are each driver's own. Read from the sources of Linux 6.1 and 6.12 are those in [`NAMES`].

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
/// include/uapi/linux/ethtool.h; anyone may ask for these.
const GSTRINGS: u32 = 0x1b;
const GSTATS: u32 = 0x1d;
const GSSET_INFO: u32 = 0x37;
const ETH_SS_STATS: u32 = 1;
/// How long a statistic's name is, with zeros behind.
const NAME: usize = 32;
/// The kernel's limit for names of interfaces, with the zero behind.
const INTERFACE: usize = 16;
/// A driver may get more queues between two questions, and the kernel writes as many values as it has by then, whatever room it
/// was told of (net/ethtool/ioctl.c:ethtool_get_stats): so there is room for many more.
const SPARE: usize = 16_384;

/// What stands before and after the number of a queue in the name of the count of its received frames.
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
/// veth counts by this name all that a queue takes in, and virtio_net beside its other count what its program has seen: so it
/// counts only where there is none of the other names.
const LAST_RESORT: (&str, &str) = ("rx_queue_", "_xdp_packets");

/// Frames received, by the number of the queue.
pub type Received = BTreeMap<u32, u64>;

/// How many frames each receive queue of an interface has received; empty if the driver doesn't count them by queue, or by other
/// names.
///
/// # Errors
/// There is no such interface, or its driver has no statistics.
pub fn received(interface: &str) -> io::Result<Received> {
    // Any socket does.
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // The command, a reserved word, which sets are asked for in 64 bits, and the length of the one.
    let set = 1 << ETH_SS_STATS;
    let [first, second] = if cfg!(target_endian = "big") { [0, set] } else { [set, 0] };
    let mut info = [GSSET_INFO, 0, first, second, 0];
    ask(&socket, interface, info.as_mut_ptr().cast())?;
    let length = info[4] as usize;
    if length == 0 {
        return Ok(Received::new());
    }
    // The command, the set, the length; then the names.
    let mut names = vec![0_u32; 3 + (length + SPARE) * NAME / size_of::<u32>()];
    names[..2].copy_from_slice(&[GSTRINGS, ETH_SS_STATS]);
    ask(&socket, interface, names.as_mut_ptr().cast())?;
    // The command and the length in one word; then the values.
    let mut values = vec![0_u64; 1 + length + SPARE];
    let mut head = [0; size_of::<u64>()];
    head[..4].copy_from_slice(&GSTATS.to_ne_bytes());
    values[0] = u64::from_ne_bytes(head);
    ask(&socket, interface, values.as_mut_ptr().cast())?;
    let [.., a, b, c, d] = values[0].to_ne_bytes();
    // The driver has got others meanwhile, and names and values may not belong together.
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

/// The counts of received frames among a driver's statistics.
fn by_queue<'a>(statistics: impl Iterator<Item = (&'a str, u64)> + Clone) -> Received {
    let named = |names: &[(&str, &str)]| -> Received {
        let number = |name: &str| names.iter().find_map(|around| queue(name, around));
        statistics.clone().filter_map(|(name, value)| Some((number(name)?, value))).collect()
    };
    let found = named(&NAMES);
    if found.is_empty() { named(&[LAST_RESORT]) } else { found }
}

/// The number between these two, if the name has one there.
fn queue(name: &str, (before, after): &(&str, &str)) -> Option<u32> {
    let number = name.strip_prefix(before)?.strip_suffix(after)?;
    // Parsing takes a sign, too.
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

/// Has the kernel answer the question at `data`, which has room for the answer.
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
        // What a program has seen isn't what was received.
        assert_eq!(counts(&["rx_queue_0_packets", "rx_queue_0_xdp_packets"]), [(0, 10)]);
        assert_eq!(counts(&["rx_queue_99999999999_packets"]), []);
    }

    #[test]
    fn loopback_has_no_statistics() {
        assert!(received("lo").map_or(true, |received| received.is_empty()));
        assert!(received("a-name-that-is-too-long").is_err() && received("none0").is_err());
    }
}
