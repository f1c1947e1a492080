//! Frame to datagram: Ethernet, VLAN tags, IPv4 or IPv6, UDP, as Linux would read them.
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
mod udp;

use crate::{packet::Packet, source::Source};
use network_types::eth::EtherType;

pub use ethernet::MAX_VLAN_TAGS;
pub use ipv6::MAX_EXTENSION_HEADERS;
pub use plain::{PlainV4, PlainV6};

/// A UDP datagram to port 123.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Over IPv6.
    pub is_v6: bool,
    /// Where the IP header begins, in bytes from the frame's start.
    pub network: usize,
    /// Where the payload begins, in bytes from the frame's start.
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
        udp::source_port(packet, self.payload)
    }
}

/// What a frame turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Located {
    /// Not UDP to port 123.
    NotNtp,
    /// A header lies past the bytes at hand: in another buffer, or nowhere.
    Truncated,
    /// More IPv6 extension headers than [`MAX_EXTENSION_HEADERS`].
    TooDeep,
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

/// Where the network header is, in bytes from the frame's start; `None` when that lies past the bytes at hand.
#[inline(always)]
pub fn network_offset<P: Packet + ?Sized>(packet: &P) -> Option<usize> {
    ethernet::network(packet).map(|network| network.offset)
}

/// Finds the datagram to port 123 in a frame, if it is one.
#[inline(always)]
pub fn locate<P: Packet + ?Sized>(packet: &P) -> Located {
    let Some(network) = ethernet::network(packet) else { return Located::Truncated };
    let transport = if network.ether_type == EtherType::Ipv4 as u16 {
        ipv4::transport(packet, network.offset)
    } else if network.ether_type == EtherType::Ipv6 as u16 {
        ipv6::transport(packet, network.offset)
    } else {
        return Located::NotNtp;
    };
    transport.map_or_else(|located| located, |transport| udp::datagram(packet, transport))
}
