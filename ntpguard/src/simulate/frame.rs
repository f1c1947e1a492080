//! Frames to be judged: a UDP datagram to port 123, as it would arrive over Ethernet.

use etherparse::PacketBuilder;
use ntpguard_common::wire::ntp::{self, Mode};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The destination, on which no verdict depends (RFC 5737, RFC 3849: addresses for documentation).
const DESTINATION: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(192, 0, 2, 123), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x123));

/// Builds the frame.
///
/// # Errors
/// The payload doesn't fit into a datagram.
pub fn build(source: IpAddr, port: u16, payload: &[u8]) -> anyhow::Result<Vec<u8>> {
    let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let builder = match source {
        IpAddr::V4(source) => builder.ipv4(source.octets(), DESTINATION.0.octets(), 64),
        IpAddr::V6(source) => builder.ipv6(source.octets(), DESTINATION.1.octets(), 64),
    };
    let mut frame = Vec::new();
    builder.udp(port, ntp::PORT).write(&mut frame, payload)?;
    Ok(frame)
}

/// A typical payload for a mode: a time packet, ntpq's query (opcode 2, readvar), or ntpdc's (request 42, monlist).
pub fn usual(mode: u8, request: Option<u8>) -> Vec<u8> {
    // Version 2, as ntpq and ntpdc send it; mode 0 exists only in version 1 (RFC 5905 §7.3).
    let head = |version: u8| version << 3 | mode;
    match Mode::of(mode) {
        Mode::Control => {
            let mut query = vec![0; ntp::CONTROL_HEADER_LEN];
            query[..4].copy_from_slice(&[head(2), request.unwrap_or(2), 0, 1]);
            query
        }
        Mode::Private => vec![head(2), 0, 3, request.unwrap_or(42), 0, 0, 0, 0],
        Mode::Time => {
            let mut packet = vec![0; ntp::TIME_HEADER_LEN];
            packet[0] = head(if mode == 0 { 1 } else { 4 });
            packet
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ntpguard_common::wire::{Located, locate};

    #[test]
    fn what_is_built_is_located() {
        for source in ["192.0.2.1", "2001:db8::1"] {
            let frame = build(source.parse().unwrap(), 40_000, &usual(7, None)).unwrap();
            let Located::Datagram(datagram) = locate(frame.as_slice()) else { panic!("{source}") };
            assert_eq!((datagram.source_port(frame.as_slice()), datagram.length), (Some(40_000), 8));
            assert_eq!(frame[datagram.payload..], [0x17, 0, 3, 42, 0, 0, 0, 0]);
        }
        assert!(build("192.0.2.1".parse().unwrap(), 1, &[0; 65_536]).is_err());
    }

    #[test]
    fn usual_packets() {
        assert_eq!(usual(3, None)[..2], [0x23, 0]);
        assert_eq!(usual(0, None)[0], 0x08);
        assert_eq!(usual(6, Some(1))[..4], [0x16, 1, 0, 1]);
    }
}
