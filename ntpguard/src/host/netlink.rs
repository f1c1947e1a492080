//! Queries about an interface to the kernel's generic netlink families, which any user may make: `netdev` (XDP
//! features, Linux 6.3 and later) and `ethtool` (offloads and queues).
//!
//! The numbers are those of include/uapi/linux/{genetlink,netdev,ethtool_netlink}.h, which never change.

use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkBuffer, NlasIterator};
use netlink_sys::{Socket, protocols::NETLINK_GENERIC};
use std::{
    collections::BTreeSet,
    io::{self, ErrorKind},
};

/// The control family, which knows the others: its number, its one command, and that command's attributes.
const CONTROL: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
const FAMILY_GROUPS: u16 = 7;
const GROUP_NAME: u16 = 1;
const GROUP_ID: u16 = 2;

/// The family `netdev`.
const DEV_GET: u8 = 1;
const DEV_INDEX: u16 = 1;
const DEV_XDP_FEATURES: u16 = 3;

/// The family `ethtool`; a request names the interface in a header.
const CHANNELS_GET: u8 = 17;
const FEATURES_GET: u8 = 11;
const FEATURES_SET: u8 = 12;
const HEADER: u16 = 1;
const HEADER_INDEX: u16 = 1;
const FEATURES_CHANGEABLE: u16 = 2;
const FEATURES_WANTED: u16 = 3;
const FEATURES_ACTIVE: u16 = 4;
const FEATURES_FIXED: u16 = 5;
const BITSET_IS_LIST: u16 = 1;
const BITSET_BITS: u16 = 3;
const BIT: u16 = 1;
const BIT_NAME: u16 = 2;
const BIT_VALUE: u16 = 3;
const RX_MAX: u16 = 2;
const TX_MAX: u16 = 3;
const COMBINED_MAX: u16 = 5;
const RX_COUNT: u16 = 6;
const TX_COUNT: u16 = 7;
const COMBINED_COUNT: u16 = 9;
const TIMESTAMPS_GET: u8 = 25;
const TIMESTAMPS_KINDS: u16 = 2;
const TIMESTAMPS_CLOCK: u16 = 5;

/// Flag of an attribute's type: it contains attributes.
const NESTED: u16 = 0x8000;
/// The length of the generic netlink header, which follows netlink's own.
const HEADER_LEN: usize = 4;
/// Netlink's own message types: an error or an acknowledgement, and the end.
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// A driver's XDP features (enum netdev_xdp_act).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features(pub u64);

impl Features {
    /// Programs run in the driver, and may pass, drop and send back packets.
    pub const BASIC: u64 = 1;
    /// Programs get frames in several buffers.
    pub const SEVERAL_BUFFERS: u64 = 1 << 5;

    /// Whether it has a feature.
    pub fn has(self, feature: u64) -> bool {
        self.0 & feature != 0
    }
}

/// Numbers of queues, as `ethtool --show-channels` reports them: in use, and at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queues {
    /// Those that only receive.
    pub rx: (u32, u32),
    /// Those that only send.
    pub tx: (u32, u32),
    /// Those that do both.
    pub combined: (u32, u32),
}

impl Queues {
    /// The number of queues in use that send.
    pub fn senders(&self) -> u32 {
        self.combined.0 + self.tx.0
    }

    /// The maximum number of queues that send.
    pub fn most_senders(&self) -> u32 {
        self.combined.1.max(self.tx.1)
    }
}

/// Offloads, by the names that `ethtool --show-features` uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// Those that are on.
    pub on: Vec<String>,
    /// Those that can be changed; the others are `[fixed]`.
    pub changeable: Vec<String>,
}

impl Offloads {
    /// Whether an offload is on.
    pub fn has(&self, name: &str) -> bool {
        self.on.iter().any(|on| on == name)
    }

    /// Whether an offload can be changed.
    pub fn can_change(&self, name: &str) -> bool {
        self.changeable.iter().any(|one| one == name)
    }
}

/// The XDP features of an interface's driver.
pub(crate) fn features(index: u32) -> io::Result<Features> {
    let answer = ask("netdev", DEV_GET, &attribute(DEV_INDEX, &index.to_ne_bytes()))?;
    find(&answer, DEV_XDP_FEATURES)
        .and_then(|value| Some(Features(u64::from_ne_bytes(value.try_into().ok()?))))
        .ok_or(nothing())
}

/// The offloads of an interface.
pub(crate) fn offloads(index: u32) -> io::Result<Offloads> {
    let answer = ask("ethtool", FEATURES_GET, &header(index))?;
    let on = names(find(&answer, FEATURES_ACTIVE).ok_or(nothing())?);
    let fixed: Vec<String> = find(&answer, FEATURES_FIXED).map(names).unwrap_or_default();
    let mut changeable: Vec<String> = find(&answer, FEATURES_CHANGEABLE).map(names).unwrap_or_default();
    changeable.retain(|name| !fixed.contains(name));
    Ok(Offloads { on, changeable })
}

/// All features of an interface: those that are wanted, those that are on, and those that can be changed.
pub(super) fn feature_sets(index: u32) -> io::Result<[BTreeSet<String>; 3]> {
    let answer = ask("ethtool", FEATURES_GET, &header(index))?;
    let set = |kind| find(&answer, kind).map(names).ok_or(nothing());
    Ok([set(FEATURES_WANTED)?, set(FEATURES_ACTIVE)?, set(FEATURES_CHANGEABLE)?])
}

/// Sets whether a feature of an interface is wanted. Success doesn't mean that it is then on.
pub(super) fn set_feature(index: u32, name: &str, on: bool) -> io::Result<()> {
    let mut bit = attribute(BIT_NAME, format!("{name}\0").as_bytes());
    if on {
        bit.extend(attribute(BIT_VALUE, &[]));
    }
    let bits = attribute(BITSET_BITS | NESTED, &attribute(BIT | NESTED, &bit));
    let attributes = [header(index), attribute(FEATURES_WANTED | NESTED, &bits)].concat();
    ask("ethtool", FEATURES_SET, &attributes).map(drop)
}

/// The names of the bits that are set in a bitset: in a list all that are named, in a set with a mask those with a
/// value.
fn names<T: FromIterator<String>>(set: &[u8]) -> T {
    let is_list = find(set, BITSET_IS_LIST).is_some();
    let bits = find(set, BITSET_BITS).unwrap_or_default();
    let names = attributes(bits).filter(|(kind, _)| *kind == BIT).filter_map(|(_, bit)| {
        let name = find(bit, BIT_NAME).filter(|_| is_list || find(bit, BIT_VALUE).is_some())?;
        Some(String::from_utf8_lossy(name).trim_end_matches('\0').to_owned())
    });
    names.collect()
}

/// The numbers of queues of an interface.
pub(crate) fn queues(index: u32) -> io::Result<Queues> {
    let answer = ask("ethtool", CHANNELS_GET, &header(index))?;
    let number = |kind| number(&answer, kind).unwrap_or(0);
    Ok(Queues {
        rx: (number(RX_COUNT), number(RX_MAX)),
        tx: (number(TX_COUNT), number(TX_MAX)),
        combined: (number(COMBINED_COUNT), number(COMBINED_MAX)),
    })
}

/// The number of a family's multicast group.
pub(crate) fn group(family: &str, group: &str) -> io::Result<u32> {
    let name = attribute(FAMILY_NAME, format!("{family}\0").as_bytes());
    let known = exchange(&open()?, CONTROL, GET_FAMILY, &name)?;
    let groups = find(&known, FAMILY_GROUPS).ok_or(nothing())?;
    let wanted = format!("{group}\0");
    attributes(groups)
        .find(|(_, one)| find(one, GROUP_NAME) == Some(wanted.as_bytes()))
        .and_then(|(_, one)| Some(u32::from_ne_bytes(find(one, GROUP_ID)?.try_into().ok()?)))
        .ok_or(nothing())
}

/// Whether a card can timestamp received packets in hardware, and the number of its clock, if it has one.
pub(crate) fn timestamps(index: u32) -> io::Result<(bool, Option<u32>)> {
    let answer = ask("ethtool", TIMESTAMPS_GET, &header(index))?;
    let kinds: Vec<String> = find(&answer, TIMESTAMPS_KINDS).map(names).unwrap_or_default();
    Ok((kinds.iter().any(|kind| kind == "hardware-receive"), number(&answer, TIMESTAMPS_CLOCK)))
}

fn number(answer: &[u8], kind: u16) -> Option<u32> {
    Some(u32::from_ne_bytes(find(answer, kind)?.try_into().ok()?))
}

fn header(index: u32) -> Vec<u8> {
    attribute(HEADER | NESTED, &attribute(HEADER_INDEX, &index.to_ne_bytes()))
}

/// The attributes of a family's first answer to a command.
fn ask(family: &str, command: u8, attributes: &[u8]) -> io::Result<Vec<u8>> {
    let socket = open()?;
    let name = attribute(FAMILY_NAME, format!("{family}\0").as_bytes());
    let known = exchange(&socket, CONTROL, GET_FAMILY, &name)?;
    let number = find(&known, FAMILY_ID).and_then(|value| Some(u16::from_ne_bytes(value.try_into().ok()?)));
    exchange(&socket, number.ok_or(nothing())?, command, attributes)
}

fn open() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_GENERIC)?;
    socket.bind_auto()?;
    Ok(socket)
}

fn exchange(socket: &Socket, family: u16, command: u8, attributes: &[u8]) -> io::Result<Vec<u8>> {
    let mut question = vec![0; 16];
    question.extend([command, 1, 0, 0]);
    question.extend(attributes);
    let length = u32::try_from(question.len()).map_err(io::Error::other)?;
    let mut head = NetlinkBuffer::new(question.as_mut_slice());
    head.set_length(length);
    head.set_message_type(family);
    // When asked for an acknowledgement, the kernel ends every exchange with one, or with an error.
    head.set_flags(NLM_F_REQUEST | NLM_F_ACK);
    socket.send(&question, 0)?;

    let mut first = None;
    loop {
        let (received, _) = socket.recv_from_full()?;
        let mut rest = received.as_slice();
        while !rest.is_empty() {
            let message = NetlinkBuffer::new_checked(rest).map_err(io::Error::other)?;
            let payload = message.payload();
            match message.message_type() {
                ERROR => {
                    let code = payload.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
                    return if code == 0 {
                        first.ok_or(nothing())
                    } else {
                        Err(io::Error::from_raw_os_error(-code))
                    };
                }
                DONE => return first.ok_or(nothing()),
                _ => first = first.or_else(|| payload.get(HEADER_LEN..).map(<[u8]>::to_vec)),
            }
            rest = rest.get((message.length() as usize).next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

fn nothing() -> io::Error {
    io::Error::new(ErrorKind::Unsupported, "the kernel doesn't tell")
}

/// Encodes an attribute, padded to a multiple of four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    // Only names and numbers are sent, so the length fits.
    let length = (4 + value.len()) as u16;
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(bytes).map_while(Result::ok).filter_map(|attribute| {
        let value = attribute.into_inner().get(4..attribute.length().into())?;
        Some((attribute.kind(), value))
    })
}

pub(crate) fn find(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find_map(|(kind, value)| (kind == wanted).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_and_cut_off_ones_are_not() {
        let bytes = [attribute(2, b"abc"), attribute(3 | NESTED, &attribute(1, &[7]))].concat();
        assert_eq!(bytes.len(), 8 + 12);
        assert_eq!(find(&bytes, 2), Some(&b"abc"[..]));
        assert_eq!(find(&bytes, 3).and_then(|inner| find(inner, 1)), Some(&[7][..]));
        for length in 0..7 {
            assert_eq!(find(&bytes[..length], 2), None, "{length}");
        }
        assert_eq!(find(&[0, 0, 2, 0, 1, 1, 1, 1], 2), None, "shorter than its own head");
    }

    #[test]
    fn loopback_has_offloads_and_unknown_interfaces_have_none() {
        let on = offloads(1).unwrap();
        assert!(
            on.has("loopback") && !on.can_change("loopback") && on.can_change("tx-udp-segmentation"),
            "{on:?}"
        );
        assert!(offloads(u32::MAX).is_err());
        assert!(ask("nobody", 1, &[]).is_err());
        assert!(group("ethtool", "monitor").unwrap() > 0);
        assert!(group("ethtool", "nobody").is_err());
    }
}
