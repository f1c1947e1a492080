//! IPv4 (RFC 791), as net/ipv4/ip_input.c:ip_rcv_core reads it.

use super::{Located, Transport};
use crate::{packet::Packet, source::Source};
use network_types::ip::{IpProto, Ipv4Hdr};

/// Fragment field: more fragments follow.
const MORE_FRAGMENTS: u16 = 0x2000;
/// Fragment field: offset in units of 8 bytes.
const FRAGMENT_OFFSET: u16 = 0x1fff;

#[inline(always)]
pub(super) fn transport<P: Packet + ?Sized>(packet: &P, offset: usize) -> Result<Transport, Located> {
    let header: Ipv4Hdr = packet.load(offset).ok_or(Located::Truncated)?;
    // The raw protocol number: network-types' `proto()` is a search through 140 variants.
    if header.proto != IpProto::Udp as u8 || header.version() != 4 {
        return Err(Located::NotNtp);
    }
    let header_len = header.ihl() as usize;
    let total_len = header.tot_len() as usize;
    if header_len < Ipv4Hdr::LEN || total_len < header_len {
        return Err(Located::NotNtp);
    }
    let fragment = u16::from_be_bytes(header.frags);
    if fragment & FRAGMENT_OFFSET != 0 {
        // No UDP header in here. Its datagram dies with its first fragment.
        return Err(Located::NotNtp);
    }
    Ok(Transport {
        source: Source::V4(header.src_addr),
        offset: offset + header_len,
        end: offset + total_len,
        first_fragment: fragment & MORE_FRAGMENTS != 0,
        jumbo: false,
    })
}
