//! UDP (RFC 768): its length is read as in net/ipv4/udp.c:__udp4_lib_rcv and net/ipv6/udp.c:__udp6_lib_rcv.

use super::{
    located::{Datagram, Located, Transport},
    ntp,
};
use crate::packet::Packet;
use core::hint::cold_path;
use network_types::udp::UdpHdr;

/// The datagram, if it is to port 123.
#[inline(always)]
pub(super) fn datagram<P: Packet + ?Sized>(packet: &P, transport: Transport) -> Located {
    let Transport { is_v6, network, offset, end } = transport;
    if offset + UdpHdr::LEN > end {
        cold_path();
        return Located::NotNtp;
    }
    let Some(header) = packet.load::<UdpHdr>(offset) else { return Located::Truncated };
    if header.dst != ntp::PORT.to_be_bytes() {
        cold_path();
        return Located::NotNtp;
    }
    let available = end - offset;
    let mut length = header.len() as usize;
    if length < UdpHdr::LEN {
        cold_path();
        // A length of 0 means "up to the end of the packet" (RFC 2675 §4).
        if length != 0 || !is_v6 {
            return Located::Malformed;
        }
        length = available;
    }
    if length > available {
        cold_path();
        return Located::Malformed;
    }
    let payload = offset + UdpHdr::LEN;
    Located::Datagram(Datagram {
        is_v6,
        network,
        transport: offset,
        payload,
        length: length - UdpHdr::LEN,
        end,
    })
}

/// The datagram, if it is from or to port 123 and its length is right.
#[inline(always)]
pub(super) fn leaving<P: Packet + ?Sized>(packet: &P, transport: Transport) -> Option<Datagram> {
    let Transport { is_v6, network, offset, end } = transport;
    let header = packet.load::<UdpHdr>(offset)?;
    let port = ntp::PORT.to_be_bytes();
    let length = header.len() as usize;
    if (header.src != port && header.dst != port) || length < UdpHdr::LEN || offset + length > end {
        return None;
    }
    let payload = offset + UdpHdr::LEN;
    Some(Datagram { is_v6, network, transport: offset, payload, length: length - UdpHdr::LEN, end })
}

/// The result for a first fragment.
#[inline(always)]
pub(super) fn first_fragment<P: Packet + ?Sized>(packet: &P, transport: Transport) -> Located {
    let Transport { offset, end, .. } = transport;
    if offset + UdpHdr::LEN > end {
        // The port is in the next fragment.
        return Located::Fragment;
    }
    match packet.load::<UdpHdr>(offset) {
        None => Located::Truncated,
        Some(header) if header.dst == ntp::PORT.to_be_bytes() => Located::Fragment,
        Some(_) => Located::NotNtp,
    }
}
