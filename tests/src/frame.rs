//! Frames, built field by field: valid, with correct checksums, unless a field is overridden.
//!
//! ```
//! use ntpguard_tests::frame::{Frame, payload};
//! let monlist = Frame::from("192.0.2.66", 40000).vlan(0x8100, 7).payload(payload::MONLIST).build();
//! assert_eq!(monlist.len(), 60);
//! ```

use std::net::IpAddr;

/// Length of the shortest Ethernet frame without its frame check sequence; shorter frames are padded with [`PADDING`].
const MIN_FRAME: usize = 60;
/// Not zero, so that a test notices if padding is read as payload: as an NTP packet it would be a mode 7 query.
const PADDING: u8 = 0x17;

/// Destination and source MAC address: the server's and the outside's in the lab.
const MACS: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

/// The destination of frames, unless another is given.
pub const SERVER_V4: &str = "192.0.2.1";
/// The destination of IPv6 frames, unless another is given.
pub const SERVER_V6: &str = "2001:db8::1";

/// Payloads, written by hand from RFC 5905, RFC 9327 and what scanners send.
pub mod payload {
    /// monlist: mode 7, version 2, implementation 3 (XNTPD), request 42 (MON_GETLIST_1), as scanners send it.
    pub const MONLIST: &[u8] = &[0x17, 0x00, 0x03, 0x2a, 0, 0, 0, 0];
    /// READVAR of the system: mode 6, version 2, opcode 2, sequence 1.
    pub const READVAR: &[u8] = &[0x16, 0x02, 0x00, 0x01, 0, 0, 0, 0, 0, 0, 0, 0];

    /// A time packet of 48 bytes in the given mode and version, with a transmit timestamp.
    pub fn time(mode: u8, version: u8) -> Vec<u8> {
        let mut bytes = vec![0; 48];
        bytes[0] = version << 3 | mode;
        bytes[2] = 6; // poll, 2^6 s
        bytes[40..].copy_from_slice(&[0xe0, 0, 0, 1, 0x12, 0x34, 0x56, 0x78]);
        bytes
    }
}

/// A builder for a frame.
#[derive(Clone, Debug)]
pub struct Frame {
    source: IpAddr,
    destination: IpAddr,
    source_port: u16,
    destination_port: u16,
    ether_type: Option<u16>,
    tags: Vec<(u16, u16)>,
    session: Option<Vec<u8>>,
    protocol: u8,
    options: usize,
    fragment: Option<(u16, bool)>,
    extensions: Vec<Extension>,
    ip_length: Option<u16>,
    udp_length: Option<u16>,
    payload: Vec<u8>,
    trailer: Vec<u8>,
    cut: Option<usize>,
}

/// An IPv6 extension header: its type, and its bytes, of which the first (next header) is filled in.
type Extension = (u8, Vec<u8>);

/// Extension headers (RFC 8200 §4).
pub mod extension {
    use super::Extension;

    /// Hop-by-hop options of `8 + 8 * units` bytes, padded with PadN.
    pub fn hop_by_hop(units: u8) -> Extension {
        (0, options(units))
    }

    /// Destination options of `8 + 8 * units` bytes.
    pub fn destination(units: u8) -> Extension {
        (60, options(units))
    }

    /// A routing header of an unknown type without segments left, `8 + 8 * units` bytes long.
    pub fn routing(units: u8) -> Extension {
        let mut bytes = vec![0; 8 + 8 * usize::from(units)];
        (bytes[1], bytes[2]) = (units, 253);
        (43, bytes)
    }

    /// An authentication header of `8 + 4 * units` bytes (RFC 4302 §2.2).
    pub fn authentication(units: u8) -> Extension {
        let mut bytes = vec![0; 8 + 4 * usize::from(units)];
        bytes[1] = units;
        (51, bytes)
    }

    /// A fragment header; `offset` in units of 8 bytes. The reserved byte is not zero, since receivers ignore it.
    pub fn fragment(offset: u16, more: bool) -> Extension {
        let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
        (44, vec![0, 0x2a, high, low, 0, 0, 0, 1])
    }

    fn options(units: u8) -> Vec<u8> {
        let mut bytes = vec![0; 8 + 8 * usize::from(units)];
        bytes[1] = units;
        let mut at = 2;
        while at < bytes.len() {
            // PadN: type 1, then the length of the rest.
            let length = (bytes.len() - at - 2).min(7);
            (bytes[at], bytes[at + 1]) = (1, length as u8);
            at += 2 + length;
            // A single remaining byte is Pad1, which is zero.
            at += usize::from(bytes.len() - at == 1);
        }
        bytes
    }
}

impl Frame {
    /// A UDP datagram to port 123 of the server, in the address family of `source`.
    pub fn from(source: &str, source_port: u16) -> Self {
        let source: IpAddr = source.parse().expect("an address");
        let destination = if source.is_ipv4() { SERVER_V4 } else { SERVER_V6 };
        Self {
            source,
            destination: destination.parse().expect("an address"),
            source_port,
            destination_port: 123,
            ether_type: None,
            tags: Vec::new(),
            session: None,
            protocol: 17,
            options: 0,
            fragment: None,
            extensions: Vec::new(),
            ip_length: None,
            udp_length: None,
            payload: Vec::new(),
            trailer: Vec::new(),
            cut: None,
        }
    }

    /// Sets another destination address of the same family.
    pub fn to(mut self, destination: &str) -> Self {
        self.destination = destination.parse().expect("an address");
        self
    }

    /// Sets the UDP payload.
    pub fn payload(mut self, bytes: &[u8]) -> Self {
        self.payload = bytes.to_vec();
        self
    }

    /// Sets another destination port.
    pub fn to_port(mut self, port: u16) -> Self {
        self.destination_port = port;
        self
    }

    /// Sets the EtherType of the innermost Ethernet header.
    pub fn ether_type(mut self, value: u16) -> Self {
        self.ether_type = Some(value);
        self
    }

    /// Adds a VLAN tag inside those added before.
    pub fn vlan(mut self, tag_protocol: u16, vlan: u16) -> Self {
        self.tags.push((tag_protocol, vlan));
        self
    }

    /// Wraps the packet in a PPPoE session (RFC 2516), inside the tags; `protocol` is PPP's protocol number of one or two bytes.
    pub fn pppoe(mut self, protocol: &[u8]) -> Self {
        self.session = Some(protocol.to_vec());
        self
    }

    /// Sets another IP protocol than UDP, over the same bytes.
    pub fn protocol(mut self, number: u8) -> Self {
        self.protocol = number;
        self
    }

    /// Adds IPv4 options: `words` × 4 bytes of NOP.
    pub fn options(mut self, words: usize) -> Self {
        self.options = words;
        self
    }

    /// Makes it an IPv4 fragment; `offset` in units of 8 bytes.
    pub fn fragment(mut self, offset: u16, more: bool) -> Self {
        self.fragment = Some((offset, more));
        self
    }

    /// Adds an IPv6 extension header after those added before.
    pub fn extension(mut self, extension: Extension) -> Self {
        self.extensions.push(extension);
        self
    }

    /// Overrides IPv4's total length or IPv6's payload length.
    pub fn ip_length(mut self, length: u16) -> Self {
        self.ip_length = Some(length);
        self
    }

    /// Overrides the UDP length field.
    pub fn udp_length(mut self, length: u16) -> Self {
        self.udp_length = Some(length);
        self
    }

    /// Adds bytes after the end of the IP packet.
    pub fn trailer(mut self, bytes: &[u8]) -> Self {
        self.trailer = bytes.to_vec();
        self
    }

    /// Truncates the finished frame to this length.
    pub fn cut(mut self, length: usize) -> Self {
        self.cut = Some(length);
        self
    }

    /// The frame's bytes, beginning with the destination MAC address.
    pub fn build(&self) -> Vec<u8> {
        let mut frame = MACS.to_vec();
        for (protocol, vlan) in &self.tags {
            frame.extend(protocol.to_be_bytes());
            frame.extend(vlan.to_be_bytes());
        }
        let (ether_type, packet) = match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                (0x0800, self.ipv4(source.octets(), destination.octets()))
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                (0x86dd, self.ipv6(source.octets(), destination.octets()))
            }
            _ => unreachable!("`from` picks the destination by the source's family"),
        };
        match &self.session {
            Some(protocol) => {
                frame.extend([0x88, 0x64, 0x11, 0, 0x12, 0x34]);
                frame.extend(((protocol.len() + packet.len()) as u16).to_be_bytes());
                frame.extend(protocol);
            }
            None => frame.extend(self.ether_type.unwrap_or(ether_type).to_be_bytes()),
        }
        frame.extend(packet);
        frame.extend(&self.trailer);
        if frame.len() < MIN_FRAME {
            frame.resize(MIN_FRAME, PADDING);
        }
        frame.truncate(self.cut.unwrap_or(usize::MAX));
        frame
    }

    fn ipv4(&self, source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
        let pseudo = [source, destination].concat();
        let udp = self.udp(&pseudo);
        let header_len = 20 + 4 * self.options;
        let length = self.ip_length.unwrap_or((header_len + udp.len()) as u16);
        let (offset, more) = self.fragment.unwrap_or_default();
        let mut packet = vec![0x40 | (header_len / 4) as u8, 0];
        packet.extend(length.to_be_bytes());
        packet.extend([0x12, 0x34]);
        packet.extend((offset | u16::from(more) << 13).to_be_bytes());
        packet.extend([64, self.protocol, 0, 0]);
        packet.extend(&pseudo);
        packet.extend(vec![1; 4 * self.options]);
        let sum = checksum(&packet);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(udp);
        packet
    }

    fn ipv6(&self, source: [u8; 16], destination: [u8; 16]) -> Vec<u8> {
        let pseudo = [source, destination].concat();
        let mut payload = Vec::new();
        let kinds: Vec<u8> = self.extensions.iter().map(|(kind, _)| *kind).chain([self.protocol]).collect();
        for ((_, bytes), next) in self.extensions.iter().zip(&kinds[1..]) {
            payload.push(*next);
            payload.extend(&bytes[1..]);
        }
        payload.extend(self.udp(&pseudo));
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend(self.ip_length.unwrap_or(payload.len() as u16).to_be_bytes());
        packet.extend([kinds[0], 64]);
        packet.extend(&pseudo);
        packet.extend(payload);
        packet
    }

    /// The UDP header and payload; `pseudo` is the source and destination address of the pseudo-header.
    fn udp(&self, pseudo: &[u8]) -> Vec<u8> {
        let length = self.udp_length.unwrap_or(8 + self.payload.len() as u16);
        let mut datagram = self.source_port.to_be_bytes().to_vec();
        datagram.extend(self.destination_port.to_be_bytes());
        datagram.extend(length.to_be_bytes());
        datagram.extend([0, 0]);
        datagram.extend(&self.payload);
        let covered = match length {
            0 => datagram.len(), // in IPv6: up to the packet's end
            length => datagram.len().min(usize::from(length).max(8)),
        };
        let summed = [pseudo, &[0, 17], &(covered as u16).to_be_bytes(), &datagram[..covered]].concat();
        let sum = match checksum(&summed) {
            0 => 0xffff, // 0 would mean "no checksum"
            sum => sum,
        };
        datagram[6..8].copy_from_slice(&sum.to_be_bytes());
        datagram
    }
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0)));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked out by hand from the fields of RFC 791 and RFC 768, checksums included.
    #[test]
    fn a_monlist_frame_by_hand() {
        let built = Frame::from("192.0.2.66", 0xd431).payload(payload::MONLIST).build();
        #[rustfmt::skip]
        let by_hand = [
            0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x08, 0x00,
            0x45, 0x00, 0x00, 0x24, 0x12, 0x34, 0x00, 0x00, 0x40, 0x11, 0xe4, 0x51,
            0xc0, 0x00, 0x02, 0x42, 0xc0, 0x00, 0x02, 0x01,
            0xd4, 0x31, 0x00, 0x7b, 0x00, 0x10, 0x8c, 0xb3,
            0x17, 0x00, 0x03, 0x2a, 0x00, 0x00, 0x00, 0x00,
            0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17,
        ];
        assert_eq!(built, by_hand);
    }

    #[test]
    fn extension_headers_are_as_long_as_they_say() {
        for units in [0, 1, 3, 255] {
            let bytes = extension::hop_by_hop(units).1;
            assert_eq!(bytes.len(), 8 + 8 * usize::from(units));
        }
        assert_eq!(extension::authentication(4).1.len(), 24);
    }
}
