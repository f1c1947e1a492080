//! IPv4 (RFC 791), as net/ipv4/ip_input.c:ip_rcv_core reads it.

use super::{
    located::{Located, Transport, other},
    udp,
};
use crate::packet::Packet;
use core::hint::cold_path;
use network_types::ip::{IpProto, Ipv4Hdr};

/// Fragment field: more fragments follow.
const MORE_FRAGMENTS: u16 = 0x2000;
/// Fragment field: offset in units of 8 bytes.
const FRAGMENT_OFFSET: u16 = 0x1fff;

#[inline(always)]
pub(super) fn transport<P: Packet + ?Sized>(packet: &P, offset: usize) -> Result<Transport, Located> {
    let header = packet.load::<Ipv4Hdr>(offset).ok_or(Located::Truncated)?;
    // Compared as a raw protocol number: network-types' `proto()` searches 140 variants. The first byte says version 4
    // and a header of at least 5 words.
    if !matches!(header.vihl, 0x45..=0x4f) {
        return Err(Located::NotNtp);
    }
    if header.proto != IpProto::Udp as u8 {
        return Err(other(header.proto));
    }
    behind(packet, offset, &header, header.ihl() as usize)
}

/// What follows a header of this length.
#[inline(always)]
pub(super) fn behind<P: Packet + ?Sized>(
    packet: &P,
    offset: usize,
    header: &Ipv4Hdr,
    header_len: usize,
) -> Result<Transport, Located> {
    let total_len = header.tot_len() as usize;
    if total_len < header_len {
        cold_path();
        return Err(Located::NotNtp);
    }
    let transport =
        Transport { is_v6: false, network: offset, offset: offset + header_len, end: offset + total_len };
    let fragment = u16::from_be_bytes(header.frags) & (MORE_FRAGMENTS | FRAGMENT_OFFSET);
    if fragment != 0 {
        cold_path();
        // A fragment with a non-zero offset has no UDP header. If its first fragment is dropped, its datagram is never
        // reassembled.
        let is_first = fragment & FRAGMENT_OFFSET == 0;
        return Err(if is_first { udp::first_fragment(packet, transport) } else { Located::NotNtp });
    }
    Ok(transport)
}
