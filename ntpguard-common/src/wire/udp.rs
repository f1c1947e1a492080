//! UDP (RFC 768), as net/ipv4/udp.c:__udp4_lib_rcv and net/ipv6/udp.c:__udp6_lib_rcv read its length.

use super::{Datagram, Located, Transport, ntp};
use crate::packet::Packet;
use network_types::udp::UdpHdr;

#[inline(always)]
pub(super) fn datagram<P: Packet + ?Sized>(packet: &P, transport: Transport) -> Located {
    let Transport { source, offset, end, first_fragment, jumbo } = transport;
    if first_fragment && offset + UdpHdr::LEN > end {
        // The port is in the next fragment.
        return Located::Fragment;
    }
    let Some(header) = packet.load::<UdpHdr>(offset) else { return Located::Truncated };
    if header.dst != ntp::PORT.to_be_bytes() || offset + UdpHdr::LEN > end {
        return Located::NotNtp;
    }
    if first_fragment {
        return Located::Fragment;
    }
    let available = end - offset;
    let length = match header.len() as usize {
        0 if jumbo => available,
        length => length,
    };
    if length < UdpHdr::LEN || length > available {
        return Located::Malformed;
    }
    Located::Datagram(Datagram {
        source,
        source_port: header.src_port(),
        payload: offset + UdpHdr::LEN,
        length: length - UdpHdr::LEN,
        end,
    })
}
