//! The result of parsing a frame, and the datagram's position in it.

use crate::{packet::Packet, source::Source};
use core::{hint::cold_path, mem::offset_of};
use network_types::{
    ip::{IpProto, Ipv4Hdr, Ipv6Hdr},
    udp::UdpHdr,
};

/// A UDP datagram to port 123.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Whether it came over IPv6.
    pub is_v6: bool,
    /// Where the IP header begins, in bytes from the frame's start.
    pub network: usize,
    /// Where the UDP header begins, in bytes from the frame's start.
    pub transport: usize,
    /// Where the payload begins, in bytes from the frame's start. That is right after the UDP header, except in a later
    /// segment of a frame that holds several datagrams ([`super::segments`]).
    pub payload: usize,
    /// The payload's length in bytes, according to the headers; the frame may be shorter.
    pub length: usize,
    /// Where the IP packet ends, in bytes from the frame's start.
    pub end: usize,
}

impl Datagram {
    /// The source address that the packet claims; `None` if this isn't the frame in which the datagram was located. It
    /// is read only on demand: most packets of a flood are dropped whatever their source.
    #[inline(always)]
    pub fn source<P: Packet + ?Sized>(&self, packet: &P) -> Option<Source> {
        if self.is_v6 {
            let offset = self.network + offset_of!(Ipv6Hdr, src_addr);
            packet.load(offset).map(|address| Source::of_v6(*address))
        } else {
            let offset = self.network + offset_of!(Ipv4Hdr, src_addr);
            packet.load(offset).map(|address| Source::of_v4(*address))
        }
    }

    /// The destination address; `None` if this isn't the frame in which the datagram was located.
    #[inline(always)]
    pub fn destination<P: Packet + ?Sized>(&self, packet: &P) -> Option<Source> {
        if self.is_v6 {
            let offset = self.network + offset_of!(Ipv6Hdr, dst_addr);
            packet.load(offset).map(|address| Source::of_v6(*address))
        } else {
            let offset = self.network + offset_of!(Ipv4Hdr, dst_addr);
            packet.load(offset).map(|address| Source::of_v4(*address))
        }
    }

    /// The UDP destination port, in host byte order; `None` if this isn't the frame in which the datagram was located.
    #[inline(always)]
    pub fn destination_port<P: Packet + ?Sized>(&self, packet: &P) -> Option<u16> {
        packet.load(self.transport + offset_of!(UdpHdr, dst)).map(|port| u16::from_be_bytes(*port))
    }

    /// The UDP source port, in host byte order; `None` if this isn't the frame in which the datagram was located.
    #[inline(always)]
    pub fn source_port<P: Packet + ?Sized>(&self, packet: &P) -> Option<u16> {
        packet.load(self.transport + offset_of!(UdpHdr, src)).map(|port| u16::from_be_bytes(*port))
    }
}

/// The result of parsing a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Located {
    /// Not UDP to port 123.
    NotNtp,
    /// A header lies past the bytes at hand: in another buffer, or missing.
    Truncated,
    /// More VLAN tags than [`super::MAX_VLAN_TAGS`]: the frame may hold anything.
    TooManyTags,
    /// More IPv6 extension headers than [`super::MAX_EXTENSION_HEADERS`]: the packet may hold anything.
    TooManyExtensions,
    /// More datagrams in one frame than [`super::segments::MAX_SEGMENTS`]. Without hardening, only if none of those
    /// examined is a query.
    TooManySegments,
    /// A packet within a packet (a tunnel, IPsec, MPLS), in a protocol that Linux may remove before UDP sees the inner
    /// packet. The inner packet isn't read: it may be anything.
    Encapsulated,
    /// The first fragment of a datagram to port 123; or an IPv6 first fragment that ends before its UDP header, so that
    /// the port is in the next fragment.
    Fragment,
    /// A datagram to port 123 with a UDP length that the network stack refuses.
    Malformed,
    /// A whole datagram to port 123.
    Datagram(Datagram),
}

/// The position of the UDP header, and the end of the IP packet.
pub(super) struct Transport {
    /// Whether it is over IPv6.
    pub(super) is_v6: bool,
    /// Offset of the IP header.
    pub(super) network: usize,
    /// Offset of the UDP header.
    pub(super) offset: usize,
    /// Offset of the first byte past the IP packet; link-layer padding may follow it.
    pub(super) end: usize,
}

/// The result for a packet whose protocol isn't UDP.
#[inline(always)]
pub(super) const fn other(protocol: u8) -> Located {
    const TCP: u8 = IpProto::Tcp as u8;
    /// IPv4 and IPv6 in IP (RFC 2003, RFC 4213), GRE (RFC 2784), IPsec (RFC 4302, RFC 4303), IPComp (RFC 3173), L2TP (RFC 3931),
    /// MPLS in IP (RFC 4023).
    const CARRIERS: [u8; 8] = [4, 41, 47, 50, 51, 108, 115, 137];
    // Most packets that aren't UDP are TCP: they cost one comparison.
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
