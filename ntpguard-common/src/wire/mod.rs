//! Frame to datagram: Ethernet, VLAN tags, PPPoE, IPv4 or IPv6, UDP, as Linux would read them.
//!
//! Contract: whatever the stack may hand to a socket bound to UDP port 123, [`locate`] finds: as
//! [`Located::Datagram`], or as one of the others that say "port 123". What it calls [`Located::NotNtp`] or
//! [`Located::Truncated`] doesn't get there. It may find more than the stack delivers: checksums are not
//! verified, nor whether the frame is as long as its IP header says.

mod ethernet;
mod ipv4;
mod ipv6;
pub mod ntp;
mod plain;
pub mod segments;
mod udp;

use crate::{packet::Packet, source::Source};
use core::hint::cold_path;
use network_types::{eth::EtherType, ip::IpProto};

pub use ethernet::{MAX_VLAN_TAGS, Network};
pub use ipv6::MAX_EXTENSION_HEADERS;
pub use plain::{PlainV4, PlainV6};

/// A UDP datagram to port 123.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Over IPv6.
    pub is_v6: bool,
    /// Where the IP header begins, in bytes from the frame's start.
    pub network: usize,
    /// Where the UDP header begins, in bytes from the frame's start.
    pub transport: usize,
    /// Where the payload begins, in bytes from the frame's start. It follows the UDP header, but for a later segment of several
    /// datagrams in one ([`segments`]).
    pub payload: usize,
    /// The payload's length in bytes, as the headers say; the frame may be shorter.
    pub length: usize,
    /// Where the IP packet ends, in bytes from the frame's start.
    pub end: usize,
}

impl Datagram {
    /// Who sent it, by its own word; `None` in another frame. Read when it is asked for: most of what floods are made of is
    /// dropped whoever sent it.
    #[inline(always)]
    pub fn source<P: Packet + ?Sized>(&self, packet: &P) -> Option<Source> {
        if self.is_v6 { ipv6::source(packet, self.network) } else { ipv4::source(packet, self.network) }
    }

    /// The UDP source port, in host byte order; `None` in another frame.
    #[inline(always)]
    pub fn source_port<P: Packet + ?Sized>(&self, packet: &P) -> Option<u16> {
        udp::source_port(packet, self.transport)
    }
}

/// What a frame turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Located {
    /// Not UDP to port 123.
    NotNtp,
    /// A header lies past the bytes at hand: in another buffer, or nowhere.
    Truncated,
    /// More VLAN tags than [`MAX_VLAN_TAGS`]: it may be anything.
    TooManyTags,
    /// More IPv6 extension headers than [`MAX_EXTENSION_HEADERS`]: it may be anything.
    TooManyExtensions,
    /// More datagrams in one frame than [`segments::MAX_SEGMENTS`], and no query among those.
    TooManySegments,
    /// A packet within a packet, by one of the protocols that Linux can take off before UDP sees the inner one: a tunnel, IPsec,
    /// MPLS. What is inside isn't read: it may be anything.
    Encapsulated,
    /// The first fragment of a datagram to port 123; or an IPv6 first fragment that ends before its UDP header,
    /// so that the port is in the next.
    Fragment,
    /// To port 123, with a UDP length that the stack refuses.
    Malformed,
    /// A whole datagram to port 123.
    Datagram(Datagram),
}

/// Where the UDP header is, and how far the IP packet reaches.
struct Transport {
    /// Over IPv6.
    is_v6: bool,
    /// Offset of the IP header.
    network: usize,
    /// Offset of the UDP header.
    offset: usize,
    /// Offset of the first byte past the IP packet; link-layer padding may follow it.
    end: usize,
}

/// Finds the datagram to port 123 in an Ethernet frame, if it is one.
#[inline(always)]
pub fn locate<P: Packet + ?Sized>(packet: &P) -> Located {
    locate_from(packet, None)
}

/// The same in a frame whose network header's place is known already, as it is on a link without a header of its own.
#[inline(always)]
pub fn locate_from<P: Packet + ?Sized>(packet: &P, network: Option<Network>) -> Located {
    let network = match network {
        None => ethernet::network(packet),
        known => known,
    };
    let Some(network) = network else { return Located::Truncated };
    let transport = if network.ether_type == EtherType::Ipv4 as u16 {
        ipv4::transport(packet, network.offset)
    } else if network.ether_type == EtherType::Ipv6 as u16 {
        ipv6::transport(packet, network.offset)
    } else {
        return ethernet::other(network.ether_type);
    };
    transport.map_or_else(|located| located, |transport| udp::datagram(packet, transport))
}

/// What a packet of another protocol than UDP is.
#[inline(always)]
const fn other(protocol: u8) -> Located {
    const TCP: u8 = IpProto::Tcp as u8;
    /// IPv4 and IPv6 in IP (RFC 2003, RFC 4213), GRE (RFC 2784), IPsec (RFC 4302, RFC 4303), IPComp (RFC 3173), L2TP (RFC 3931),
    /// MPLS in IP (RFC 4023).
    const CARRIERS: [u8; 8] = [4, 41, 47, 50, 51, 108, 115, 137];
    // What is most of what isn't UDP pays one compare.
    if protocol == TCP {
        return Located::NotNtp;
    }
    cold_path();
    let [ipv4, ipv6, gre, esp, authentication, compressed, l2tp, mpls] = CARRIERS;
    let carries = protocol == ipv4
        || protocol == ipv6
        || protocol == gre
        || protocol == esp
        || protocol == authentication
        || protocol == compressed
        || protocol == l2tp
        || protocol == mpls;
    if carries { Located::Encapsulated } else { Located::NotNtp }
}
