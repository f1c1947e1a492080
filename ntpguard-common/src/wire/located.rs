//! What a frame turns out to be, and where in it the datagram lies.

use crate::{packet::Packet, source::Source};
use core::{hint::cold_path, mem::offset_of};
use network_types::{
    ip::{IpProto, Ipv4Hdr, Ipv6Hdr},
    udp::UdpHdr,
};

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
    /// datagrams in one ([`super::segments`]).
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
        if self.is_v6 {
            let offset = self.network + offset_of!(Ipv6Hdr, src_addr);
            packet.load(offset).map(|address| Source::of_v6(*address))
        } else {
            let offset = self.network + offset_of!(Ipv4Hdr, src_addr);
            packet.load(offset).map(|address| Source::of_v4(*address))
        }
    }

    /// The UDP source port, in host byte order; `None` in another frame.
    #[inline(always)]
    pub fn source_port<P: Packet + ?Sized>(&self, packet: &P) -> Option<u16> {
        packet.load(self.transport + offset_of!(UdpHdr, src)).map(|port| u16::from_be_bytes(*port))
    }
}

/// What a frame turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Located {
    /// Not UDP to port 123.
    NotNtp,
    /// A header lies past the bytes at hand: in another buffer, or nowhere.
    Truncated,
    /// More VLAN tags than [`super::MAX_VLAN_TAGS`]: it may be anything.
    TooManyTags,
    /// More IPv6 extension headers than [`super::MAX_EXTENSION_HEADERS`]: it may be anything.
    TooManyExtensions,
    /// More datagrams in one frame than [`super::segments::MAX_SEGMENTS`]; without hardening, only if no query is among those
    /// that are looked at.
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
pub(super) struct Transport {
    /// Over IPv6.
    pub(super) is_v6: bool,
    /// Offset of the IP header.
    pub(super) network: usize,
    /// Offset of the UDP header.
    pub(super) offset: usize,
    /// Offset of the first byte past the IP packet; link-layer padding may follow it.
    pub(super) end: usize,
}

/// What a packet of another protocol than UDP is.
#[inline(always)]
pub(super) const fn other(protocol: u8) -> Located {
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
