//! IPv6 (RFC 8200) and its extension headers, as net/ipv6/ip6_input.c reads them.

use super::{
    located::{Located, Transport, other},
    udp,
};
use crate::packet::Packet;
use core::hint::cold_path;
use network_types::ip::{IpProto, Ipv6Hdr};

/// The number of extension headers followed. RFC 8200 §4.1 has up to seven in one packet; Linux sets no limit. A packet
/// with a longer chain may carry anything.
pub const MAX_EXTENSION_HEADERS: usize = 8;

/// Stands for the frame's end where the header doesn't give the length; greater than any offset in a frame.
const FRAME_END: usize = 1 << 20;

// network-types has no types for extension headers. They have two bytes in common (next header, length) and differ in
// the unit of the length, so they are read as bytes here.
const HOP_BY_HOP: u8 = IpProto::HopOpt as u8;
const ROUTING: u8 = IpProto::Ipv6Route as u8;
const FRAGMENT: u8 = IpProto::Ipv6Frag as u8;
const AUTHENTICATION: u8 = IpProto::Ah as u8;
const DESTINATION: u8 = IpProto::Ipv6Opts as u8;
const UDP: u8 = IpProto::Udp as u8;

/// The length in bytes of the shortest extension header.
const SHORTEST: usize = 8;
/// Fragment header, bytes 2 and 3: the offset, in units of 8 bytes (RFC 8200 §4.5).
const FRAGMENT_OFFSET: u32 = 0xfff8;
/// Fragment header, bytes 2 and 3: more fragments follow.
const MORE_FRAGMENTS: u32 = 1;

#[inline(always)]
pub(super) fn transport<P: Packet + ?Sized>(packet: &P, network: usize) -> Result<Transport, Located> {
    // Only the first 8 bytes: the addresses would take up stack where headers are copied.
    let [first, _, _, _, high, low, mut next_header, _]: [u8; 8] =
        *packet.load(network).ok_or(Located::Truncated)?;
    if first >> 4 != 6 {
        return Err(Located::NotNtp);
    }
    let mut offset = network + Ipv6Hdr::LEN;
    let end = match u16::from_be_bytes([high, low]) {
        // "pkt_len may be zero if Jumbo payload option is present": ip6_rcv_core then takes the whole frame, and
        // doesn't check whether the option is there.
        0 if next_header == HOP_BY_HOP => FRAME_END,
        length => offset + length as usize,
    };
    let mut first_fragment = 0;
    for _ in 0..=MAX_EXTENSION_HEADERS {
        match next_header {
            UDP => {
                let transport = Transport { is_v6: true, network, offset, end };
                if first_fragment != 0 {
                    cold_path();
                    return Err(udp::first_fragment(packet, transport));
                }
                return Ok(transport);
            }
            next if is_extension(next) => (),
            next => return Err(other(next)),
        }
        if first_fragment != 0 && offset + SHORTEST > end {
            // "Extension headers … must be in the first fragment" (RFC 8200 §4.5), but Linux reassembles such a packet
            // all the same (net/ipv6/reassembly.c:ipv6frag_thdr_truncated misses a chain that is cut between two
            // headers).
            return Err(Located::Fragment);
        }
        let [next, length, high, low]: [u8; 4] = *packet.load(offset).ok_or(Located::Truncated)?;
        // All kinds of header share one path. With a branch for each kind, the verifier would walk each of
        // 3^MAX_EXTENSION_HEADERS chains: some 700,000 instructions instead of 100,000.
        let is_fragment = equal(next_header, FRAGMENT);
        let is_authentication = equal(next_header, AUTHENTICATION);
        let fragment = u32::from(u16::from_be_bytes([high, low])) * is_fragment;
        if fragment & FRAGMENT_OFFSET != 0 {
            // Not a first fragment: it has no UDP header that counts. If its first fragment is dropped, its datagram is
            // never reassembled.
            return Err(Located::NotNtp);
        }
        // A fragment with offset 0 and no more fragments is an atomic fragment (RFC 6946): a whole packet.
        first_fragment |= fragment & MORE_FRAGMENTS;
        // The length is in units of 8 bytes, not counting the first 8 (RFC 8200 §4.3); in an authentication header in
        // units of 4 bytes, not counting the first 8 (RFC 4302 §2.2). A fragment header has 8 bytes and no length
        // field.
        let length = u32::from(length) * (1 - is_fragment);
        offset += 8 + ((length << 3) >> is_authentication) as usize;
        next_header = next;
    }
    Err(Located::TooManyExtensions)
}

/// Whether it is an extension header of a kind that is followed.
#[inline(always)]
pub(super) const fn is_extension(next_header: u8) -> bool {
    matches!(next_header, HOP_BY_HOP | ROUTING | DESTINATION | AUTHENTICATION | FRAGMENT)
}

/// 1 if they are equal, else 0; computed without a branch.
#[inline(always)]
fn equal(a: u8, b: u8) -> u32 {
    u32::from(a ^ b).wrapping_sub(1) >> 31
}
