//! Finds the UDP sockets on port 123 in this network namespace by the kernel's socket diagnostics (sock_diag(7)), which
//! any user may query. They report each socket's control group, which leads to the process where /proc/PID/fd can't be
//! read.

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NlasIterator};
use netlink_sys::{Socket as Netlink, SocketAddr, protocols::NETLINK_SOCK_DIAG};
use ntpguard_common::wire::ntp;
use std::{
    fs,
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

/// Numbers of include/uapi/linux/{sock_diag,inet_diag,netlink}.h, which never change.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const INET_DIAG_CGROUP_ID: u16 = 21;
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// Sizes of struct inet_diag_req_v2 and struct inet_diag_msg.
const REQUEST: usize = 56;
const ANSWER: usize = 72;

/// A socket on port 123.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Socket {
    /// The address that it is bound to.
    pub(crate) address: IpAddr,
    /// Its inode number, as in the links in /proc/PID/fd.
    pub(crate) inode: u64,
    /// The id of its control group, which is the inode number of the group's folder (cgroup v2, Linux 5.7).
    pub(crate) cgroup: Option<u64>,
}

/// All sockets on the port. Below another root, as in tests, only the tables in /proc are read.
pub(crate) fn sockets(root: &Path) -> io::Result<Vec<Socket>> {
    if root == Path::new("/")
        && let Ok(all) = ask()
    {
        return Ok(all);
    }
    tables(root, "proc/net")
}

/// The sockets in the tables of a folder like /proc/net (proc_net(5)). The folder of a process shows that process's
/// network namespace.
pub(crate) fn tables(root: &Path, folder: &str) -> io::Result<Vec<Socket>> {
    let folder = root.join(folder);
    let mut all = table(&fs::read_to_string(folder.join("udp"))?);
    match fs::read_to_string(folder.join("udp6")) {
        Ok(text) => all.extend(table(&text)),
        // A host without IPv6.
        Err(error) if error.kind() == ErrorKind::NotFound => (),
        Err(error) => return Err(error),
    }
    Ok(all)
}

fn table(text: &str) -> Vec<Socket> {
    text.lines().skip(1).filter_map(socket).collect()
}

/// Parses a line such as `12: 0100007F:007B 00000000:0000 07 … uid timeout inode …`.
fn socket(line: &str) -> Option<Socket> {
    let words: Vec<_> = line.split_whitespace().collect();
    let (address, port) = words.get(1)?.split_once(':')?;
    if u16::from_str_radix(port, 16).ok()? != ntp::PORT {
        return None;
    }
    // 32-bit words in network order, each printed as a number in host order.
    let word = |at: usize| Some(u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let address: IpAddr = match address.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        _ => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?).into()
        }
    };
    Some(Socket { address, inode: words.get(9)?.parse().ok()?, cgroup: None })
}

fn ask() -> io::Result<Vec<Socket>> {
    let mut netlink = Netlink::new(NETLINK_SOCK_DIAG)?;
    netlink.bind_auto()?;
    netlink.connect(&SocketAddr::new(0, 0))?;
    let mut all = Vec::new();
    for family in [nix::libc::AF_INET, nix::libc::AF_INET6] {
        netlink.send(&request(family as u8), 0)?;
        collect(&netlink, &mut all)?;
    }
    Ok(all)
}

/// A request for all UDP sockets of a family on the port, in any state.
fn request(family: u8) -> Vec<u8> {
    let length = 16 + REQUEST;
    let mut bytes = Vec::with_capacity(length);
    bytes.extend((length as u32).to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([family, nix::libc::IPPROTO_UDP as u8, 0, 0]);
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.extend(ntp::PORT.to_be_bytes());
    bytes.resize(length, 0);
    bytes
}

/// Receives answers up to the last one.
fn collect(netlink: &Netlink, all: &mut Vec<Socket>) -> io::Result<()> {
    let broken = || io::Error::from(ErrorKind::InvalidData);
    loop {
        let (bytes, _) = netlink.recv_from_full()?;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let message = NetlinkBuffer::new_checked(rest).map_err(|_| broken())?;
            match message.message_type() {
                DONE => return Ok(()),
                ERROR => return Err(ErrorKind::Unsupported.into()),
                _ => all.extend(answer(message.payload())),
            }
            let length = (message.length() as usize).next_multiple_of(4);
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

/// Parses one struct inet_diag_msg: family, state, timer and retransmissions, then ports and addresses in network
/// order, and the inode at the end; attributes follow.
fn answer(bytes: &[u8]) -> Option<Socket> {
    let (head, attributes) = bytes.split_at_checked(ANSWER)?;
    if u16::from_be_bytes([head[4], head[5]]) != ntp::PORT {
        return None;
    }
    let address = match i32::from(head[0]) {
        nix::libc::AF_INET => IpAddr::from(<[u8; 4]>::try_from(&head[8..12]).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(&head[8..24]).ok()?),
    };
    let inode = u32::from_ne_bytes(head[68..72].try_into().ok()?);
    let mut attributes = NlasIterator::new(attributes).flatten();
    let cgroup = attributes.find(|attribute| attribute.kind() == INET_DIAG_CGROUP_ID);
    let cgroup = cgroup.and_then(|attribute| Some(u64::from_ne_bytes(attribute.value().try_into().ok()?)));
    Some(Socket { address, inode: inode.into(), cgroup })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_families() {
        let line = |address: &str| {
            socket(&format!(" 1: {address}:007B 0:0000 07 0:0 0:0 0 0 0 99 2 0 0"))
                .map(|socket| socket.address)
        };
        // As a little-endian host prints them.
        if cfg!(target_endian = "little") {
            assert_eq!(line("010200C0"), Some("192.0.2.1".parse().unwrap()));
            assert_eq!(line("B80D0120000000000000000001000000"), Some("2001:db8::1".parse().unwrap()));
        }
        for broken in ["", "01", "0102000G", "ümlaut--"] {
            assert_eq!(line(broken), None, "{broken}");
        }
    }

    /// The kernel answers, and only with sockets on this port: whatever holds port 123 here, the tables and the
    /// diagnostics agree.
    #[test]
    fn diagnostics_and_tables_agree() {
        let _elsewhere = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let inodes = |sockets: Vec<Socket>| {
            let mut inodes: Vec<_> = sockets.iter().map(|socket| socket.inode).collect();
            inodes.sort_unstable();
            inodes
        };
        assert_eq!(inodes(ask().unwrap()), inodes(tables(Path::new("/"), "proc/net").unwrap()));
    }

    #[test]
    fn broken_answers_are_none() {
        for length in [0, 1, ANSWER - 1] {
            assert_eq!(answer(&vec![0; length]), None);
        }
        assert_eq!(answer(&[0; ANSWER]), None, "another port");
    }
}
