//! Plain frames, as nearly all are: untagged Ethernet, IP without options or extension headers, UDP.

use super::{
    ipv4, ipv6,
    located::{self, Located, Transport},
    udp,
};
use crate::packet::{Packet, Wire};
use core::{
    mem::{offset_of, size_of},
    ops::Deref,
};
use network_types::{
    eth::{EthHdr, EtherType},
    ip::{IpProto, Ipv4Hdr, Ipv6Hdr},
    udp::UdpHdr,
};

/// The headers of a datagram over IPv4 without options or IPv6 without extension headers in an untagged Ethernet frame,
/// and two bytes of its payload, enough to tell its mode. As a [`Packet`] of fixed length, all its offsets are known at
/// compile time and need no comparison with the frame's end.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Plain<const LEN: usize>([u8; LEN]);

/// Over IPv4.
pub type PlainV4 = Plain<{ EthHdr::LEN + Ipv4Hdr::LEN + UdpHdr::LEN + 2 }>;

/// Over IPv6.
pub type PlainV6 = Plain<{ EthHdr::LEN + Ipv6Hdr::LEN + UdpHdr::LEN + 2 }>;

// SAFETY: an array of bytes.
unsafe impl<const LEN: usize> Wire for Plain<LEN> {}

impl PlainV4 {
    /// The same as [`super::locate`]; `None` if the frame isn't plain.
    #[inline(always)]
    pub fn locate(&self) -> Option<Located> {
        let header = self.network::<Ipv4Hdr>(EtherType::Ipv4)?;
        // Version 4, and a header of five words.
        if header.vihl != 0x45 {
            return None;
        }
        if header.proto != IpProto::Udp as u8 {
            return other(header.proto);
        }
        self.datagram(ipv4::behind(self, EthHdr::LEN, &header, Ipv4Hdr::LEN).ok()?)
    }
}

impl PlainV6 {
    /// The same as [`super::locate`]; `None` if the frame isn't plain.
    #[inline(always)]
    pub fn locate(&self) -> Option<Located> {
        let header = self.network::<Ipv6Hdr>(EtherType::Ipv6)?;
        if header.version() != 6 || ipv6::is_extension(header.next_hdr) {
            return None;
        }
        if header.next_hdr != IpProto::Udp as u8 {
            return other(header.next_hdr);
        }
        let offset = EthHdr::LEN + Ipv6Hdr::LEN;
        let end = offset + header.payload_len() as usize;
        self.datagram(Transport { is_v6: true, network: EthHdr::LEN, offset, end })
    }
}

impl<const LEN: usize> Plain<LEN> {
    /// The IP header, if the EtherType is this one.
    #[inline(always)]
    fn network<T: Wire>(&self, ether_type: EtherType) -> Option<impl Deref<Target = T>> {
        let found = u16::from_ne_bytes(*self.load(offset_of!(EthHdr, ether_type))?);
        if found == ether_type as u16 { self.load(EthHdr::LEN) } else { None }
    }

    #[inline(always)]
    fn datagram(&self, transport: Transport) -> Option<Located> {
        match udp::datagram(self, transport) {
            located @ (Located::Datagram(_) | Located::NotNtp) => Some(located),
            _ => None,
        }
    }
}

/// The result for a packet whose protocol isn't UDP; `None` if it may be a tunnel, which is rare and needs the full
/// parser.
#[inline(always)]
const fn other(protocol: u8) -> Option<Located> {
    match located::other(protocol) {
        Located::NotNtp => Some(Located::NotNtp),
        _ => None,
    }
}

impl<const LEN: usize> Packet for Plain<LEN> {
    #[inline(always)]
    fn load<T: Wire>(&self, offset: usize) -> Option<impl Deref<Target = T>> {
        let () = T::ALIGNED_TO_ANY_BYTE;
        if size_of::<T>() > LEN || offset > LEN - size_of::<T>() {
            return None;
        }
        // SAFETY: all of T lies within the array, and `Wire` says that any bytes make a T.
        Some(unsafe { &*self.0.as_ptr().add(offset).cast::<T>() })
    }
}
