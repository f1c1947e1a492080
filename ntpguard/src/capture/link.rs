//! Link types: from captured packets to Ethernet frames.
//!
//! Contract: every packet of a supported link type is Ethernet, has a network packet and its EtherType, or is skipped for a
//! reason that is counted. Numbers and layouts: <https://www.tcpdump.org/linktypes.html>.

use super::{
    content::{Content, IPV4, IPV6, Skip},
    ppp,
};
use std::collections::BTreeMap;

/// How many packets couldn't be converted to Ethernet frames.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Those of unsupported link types, by link type (<https://www.tcpdump.org/linktypes.html>).
    pub link_types: BTreeMap<u16, u64>,
    /// Those captured on "any" from devices that don't name the network protocol, by device type (Linux's ARPHRD).
    pub devices: BTreeMap<u16, u64>,
    /// Those whose content is compressed, encrypted or fragmented, by PPP protocol number.
    pub ppp: BTreeMap<u16, u64>,
    /// Those without the beginning of a network header, or with another one where only IP's is possible.
    pub headless: u64,
}

impl Skipped {
    /// The sum of all kinds.
    pub fn total(&self) -> u64 {
        let Self { link_types, devices, ppp, headless } = self;
        link_types.values().chain(devices.values()).chain(ppp.values()).sum::<u64>() + headless
    }

    /// A line for each kind: how many, what they are, and how to capture packets that can be read.
    pub fn words(&self) -> impl Iterator<Item = String> {
        let Self { link_types, devices, ppp, headless } = self;
        let link_types = link_types.iter().map(|(number, count)| {
            format!(
                "{count} more of link type {number}, which isn't read (`tcpdump -i any` writes one that is)"
            )
        });
        let devices = devices.iter().map(|(number, count)| {
            format!("{count} more from devices of type {number}, whose frames name no network protocol")
        });
        let ppp = ppp.iter().map(|(number, count)| {
            format!(
                "{count} more packed into PPP's protocol {number:#06x} (`tcpdump -i ppp0` has them unpacked)"
            )
        });
        let headless =
            (*headless > 0).then(|| format!("{headless} more without an IP header at their beginning"));
        link_types.chain(devices).chain(ppp).chain(headless)
    }

    pub(super) fn count(&mut self, skip: Skip) {
        let count = match skip {
            Skip::LinkType(link_type) => self.link_types.entry(link_type).or_default(),
            Skip::Device(device) => self.devices.entry(device).or_default(),
            Skip::Ppp(protocol) => self.ppp.entry(protocol).or_default(),
            Skip::Headless => &mut self.headless,
        };
        *count += 1;
    }
}

/// Finds the network packet in a captured packet.
pub(super) fn content(link: u16, bytes: &[u8]) -> Result<Content, Skip> {
    match link {
        1 => Ok(Content::Ethernet),
        // Raw IP: LINKTYPE_RAW, and the values that BSDs wrote for it. The version field tells IPv4 from IPv6 (RFC 791 §3.1,
        // RFC 8200 §3).
        12 | 14 | 101 => match bytes.first().map(|first| first >> 4) {
            Some(4) => Ok(raw(IPV4)),
            Some(6) => Ok(raw(IPV6)),
            _ => Err(Skip::Headless),
        },
        228 => Ok(raw(IPV4)),
        229 => Ok(raw(IPV6)),
        113 => cooked(bytes).ok_or(Skip::Headless)?,
        276 => cooked2(bytes).ok_or(Skip::Headless)?,
        9 | 50 => ppp::content(bytes, 0),
        51 => ppp::session(bytes),
        204 => ppp::with_direction(bytes),
        other => Err(Skip::LinkType(other)),
    }
}

const fn raw(ether_type: [u8; 2]) -> Content {
    Content::Network { ether_type, offset: 0, outgoing: false }
}

/// LINKTYPE_LINUX_SLL: what `tcpdump -i any` wrote for a long time.
fn cooked(bytes: &[u8]) -> Option<Result<Content, Skip>> {
    let [_, kind, device @ .., p, q] = bytes.first_chunk::<16>()?;
    Some(network([device[0], device[1]], [*p, *q], 16, *kind))
}

/// LINKTYPE_LINUX_SLL2: what `tcpdump -i any` writes now.
fn cooked2(bytes: &[u8]) -> Option<Result<Content, Skip>> {
    let [p, q, _, _, _, _, _, _, d, e, kind, ..] = bytes.first_chunk::<20>()?;
    Some(network([*d, *e], [*p, *q], 20, *kind))
}

fn network(device: [u8; 2], protocol: [u8; 2], offset: usize, kind: u8) -> Result<Content, Skip> {
    match u16::from_be_bytes(device) {
        device @ (ARPHRD_FRAD | ARPHRD_IEEE80211_RADIOTAP | ARPHRD_NETLINK) => Err(Skip::Device(device)),
        // For GRE tunnels, this field is GRE's protocol type, which is an EtherType, too (RFC 2784 §2.4). Numbers below 1536
        // (frames with a length instead, CAN and the like) mean the same here as in a frame: not IP.
        _ => Ok(Content::Network { ether_type: protocol, offset, outgoing: kind == PACKET_OUTGOING }),
    }
}

/// Device types whose protocol field isn't an EtherType, or is meaningless: the description of LINKTYPE_LINUX_SLL lists
/// them, and include/uapi/linux/if_arp.h has the numbers.
const ARPHRD_FRAD: u16 = 770;
const ARPHRD_IEEE80211_RADIOTAP: u16 = 803;
const ARPHRD_NETLINK: u16 = 824;
/// include/uapi/linux/if_packet.h. SLL2 has one byte for it; SLL has two, of which this is the lower one.
const PACKET_OUTGOING: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet from an Ethernet device (ARPHRD 1).
    const SLL: [u8; 16] = [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 9, 0, 0, 0x08, 0x00];
    const SLL2: [u8; 20] = [0x86, 0xdd, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 9, 0, 0];

    fn found(ether_type: [u8; 2], offset: usize, outgoing: bool) -> Result<Content, Skip> {
        Ok(Content::Network { ether_type, offset, outgoing })
    }

    #[test]
    fn ethernet_stays_as_it_is_however_short() {
        assert_eq!(content(1, &[]), Ok(Content::Ethernet));
    }

    #[test]
    fn raw_ip_goes_by_its_version_or_its_link_type() {
        for link in [12, 14, 101] {
            assert_eq!(content(link, &[0x45]), found(IPV4, 0, false));
            assert_eq!(content(link, &[0x60]), found(IPV6, 0, false));
            assert_eq!(content(link, &[0x50]), Err(Skip::Headless));
            assert_eq!(content(link, &[]), Err(Skip::Headless));
        }
        assert_eq!(content(228, &[]), found(IPV4, 0, false));
        assert_eq!(content(229, &[]), found(IPV6, 0, false));
    }

    #[test]
    fn cooked_headers_name_protocol_and_direction() {
        assert_eq!(content(113, &SLL), found(IPV4, 16, false));
        assert_eq!(content(276, &SLL2), found(IPV6, 20, false));
        let (mut sent, mut sent2) = (SLL, SLL2);
        (sent[1], sent2[10]) = (4, 4);
        assert_eq!(content(113, &sent), found(IPV4, 16, true));
        assert_eq!(content(276, &sent2), found(IPV6, 20, true));
        for length in 0..16 {
            assert_eq!(content(113, &SLL[..length]), Err(Skip::Headless));
        }
        for length in 0..20 {
            assert_eq!(content(276, &SLL2[..length]), Err(Skip::Headless));
        }
    }

    #[test]
    fn a_protocol_that_is_no_ether_type_is_not_taken_for_one() {
        for device in [770_u16, 803, 824] {
            let (mut sll, mut sll2) = (SLL, SLL2);
            sll[2..4].copy_from_slice(&device.to_be_bytes());
            sll2[8..10].copy_from_slice(&device.to_be_bytes());
            assert_eq!(content(113, &sll), Err(Skip::Device(device)));
            assert_eq!(content(276, &sll2), Err(Skip::Device(device)));
        }
    }

    #[test]
    fn cooked_packets_of_ppp_are_read() {
        // From ppp0 itself (ARPHRD_PPP), without a PPP header; and a frame of a PPPoE session, from ppp0's lower device.
        let mut sll = SLL;
        sll[2..4].copy_from_slice(&512_u16.to_be_bytes());
        assert_eq!(content(113, &sll), found(IPV4, 16, false));
        let mut sll2 = SLL2;
        sll2[..2].copy_from_slice(&[0x88, 0x64]);
        assert_eq!(content(276, &sll2), found([0x88, 0x64], 20, false));
    }

    #[test]
    fn other_link_types_are_named() {
        assert_eq!(content(127, &SLL), Err(Skip::LinkType(127)));
    }

    #[test]
    fn what_is_skipped_is_named_with_what_to_do() {
        let mut skipped = Skipped::default();
        let skips =
            [Skip::LinkType(127), Skip::LinkType(127), Skip::Ppp(0xfd), Skip::Device(803), Skip::Headless];
        skips.into_iter().for_each(|skip| skipped.count(skip));
        let words: Vec<_> = skipped.words().collect();
        assert_eq!((skipped.total(), words.len()), (5, 4));
        assert!(words[0].starts_with("2 more of link type 127, ") && words[0].contains("tcpdump -i any"));
        assert!(words[2].contains("0x00fd") && words[2].contains("tcpdump -i ppp0"), "{words:?}");
    }
}
