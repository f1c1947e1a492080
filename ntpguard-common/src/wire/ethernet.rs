//! What comes before the network header: Ethernet II, VLAN tags (IEEE 802.1Q), the header of a PPPoE session (RFC
//! 2516).
//!
//! Linux removes any number of priority tags (VLAN 0) from a frame. It hands a frame with another tag to the VLAN's
//! device, where the process starts over (net/core/dev.c:__netif_receive_skb_core). It knows two tag protocols
//! (include/linux/if_vlan.h:eth_type_vlan), and accepts them in any order. In a PPPoE session frame it checks neither
//! version nor code (drivers/net/ppp/pppoe.c:pppoe_rcv).

use super::Located;
use crate::packet::Packet;
use core::{
    hint::{black_box, cold_path},
    mem::{offset_of, size_of},
};
use network_types::{
    eth::{EthHdr, EtherType},
    vlan::VlanHdr,
};

/// The number of tags followed: C-tags or S-tags (802.1Q, 802.1ad) in any order, including priority tags (VLAN 0).
pub const MAX_VLAN_TAGS: usize = 8;

// EtherTypes in network byte order, as network-types has them.
const C_TAG: u16 = EtherType::Ieee8021q as u16;
const S_TAG: u16 = EtherType::Ieee8021ad as u16;
const IPV4: u16 = EtherType::Ipv4 as u16;
const IPV6: u16 = EtherType::Ipv6 as u16;
/// A PPPoE session's frame (RFC 2516 §4).
const SESSION: u16 = 0x8864_u16.to_be();

/// PPP's number for IPv4 (RFC 1332 §2).
const PPP_IPV4: u16 = 0x0021;
/// PPP's number for IPv6 (RFC 5072 §3).
const PPP_IPV6: u16 = 0x0057;
/// Protocol numbers from this one on belong to PPP itself, not to a network layer (RFC 1661 §2).
const PPP_CONTROL: u16 = 0x4000;

/// An upper bound, in bytes, for everything before the network header; a power of two.
const WRAPPERS: usize = 64;
const _: () = assert!(EthHdr::LEN + MAX_VLAN_TAGS * VlanHdr::LEN + size_of::<Session>() < WRAPPERS);

/// The PPPoE header (version, code, session, length) and the PPP protocol number after it.
type Session = [u8; 8];

/// The network header's type and position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// EtherType in network byte order. Where more tags follow than are followed, that of a tag; where a PPPoE session
    /// carries another protocol than IP, that of the session.
    pub ether_type: u16,
    /// In bytes from the frame's start.
    pub offset: usize,
}

#[inline(always)]
pub(super) fn network<P: Packet + ?Sized>(packet: &P) -> Option<Network> {
    let ether_type = u16::from_ne_bytes(*packet.load(offset_of!(EthHdr, ether_type))?);
    if !is_tag(ether_type) && ether_type != SESSION {
        return Some(Network { ether_type, offset: EthHdr::LEN });
    }
    wrapped(packet, ether_type)
}

/// Finds the network header after tags and a PPPoE session's header.
#[inline(always)]
fn wrapped<P: Packet + ?Sized>(packet: &P, mut ether_type: u16) -> Option<Network> {
    let first: [u8; 2] = *packet.load(EthHdr::LEN)?;
    let mut offset = unknown(EthHdr::LEN, first);
    for _ in 0..MAX_VLAN_TAGS {
        if !is_tag(ether_type) {
            break;
        }
        ether_type = u16::from_ne_bytes(*packet.load(offset + offset_of!(VlanHdr, ether_type))?);
        offset += VlanHdr::LEN;
    }
    if ether_type == SESSION {
        let [.., first, second]: Session = *packet.load(offset)?;
        // If the first byte is odd, it is the whole number (RFC 1661 §6.5). Linux accepts this whatever was negotiated
        // (drivers/net/ppp/ppp_generic.c:ppp_decompress_proto).
        let short = usize::from(first & 1);
        offset += size_of::<Session>() - short;
        ether_type = match u16::from_be_bytes([first, second]) >> (8 * short) {
            PPP_IPV4 => IPV4,
            PPP_IPV6 => IPV6,
            PPP_CONTROL.. => 0,
            _ => SESSION,
        };
    }
    Some(Network { ether_type, offset: offset & (WRAPPERS - 1) })
}

/// Returns `number`, in a form that makes it unknown to the verifier; `anything` must be unknown to it, too. The
/// verifier would otherwise check all following code once for each number of headers. This way all of them lead to the
/// same verifier state, and it checks the code once.
#[inline(always)]
fn unknown(number: usize, anything: [u8; 2]) -> usize {
    let anything = usize::from(u16::from_ne_bytes(anything));
    number ^ anything ^ black_box(anything)
}

/// The result for a frame whose network header isn't IP's.
#[inline(always)]
pub(super) const fn other(ether_type: u16) -> Located {
    /// MPLS (RFC 3032 §5), unicast and multicast.
    const MPLS: [u16; 2] = [0x8847, 0x8848];
    /// MACsec (IEEE 802.1AE), HSR (IEC 62439-3), provider backbone bridging (IEEE 802.1ah), NSH (RFC 8300 §7),
    /// batman-adv: for each, Linux has a device or a rule that removes it.
    const OTHERS: [u16; 5] = [0x88e5, 0x892f, 0x88e7, 0x894f, 0x4305];
    let [unicast, multicast] = MPLS;
    let [macsec, hsr, backbone, nsh, batman] = OTHERS;
    let number = u16::from_be(ether_type);
    if is_tag(ether_type) {
        cold_path();
        Located::TooManyTags
    } else if ether_type == SESSION
        || number == unicast
        || number == multicast
        || number == macsec
        || number == hsr
        || number == backbone
        || number == nsh
        || number == batman
    {
        Located::Encapsulated
    } else {
        Located::NotNtp
    }
}

#[inline(always)]
const fn is_tag(ether_type: u16) -> bool {
    ether_type == C_TAG || ether_type == S_TAG
}
