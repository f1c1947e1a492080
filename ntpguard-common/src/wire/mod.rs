//! From a frame to its datagram: Ethernet, VLAN tags, PPPoE, IPv4 or IPv6, and UDP, read as Linux reads them.
//!
//! Contract: [`locate`] finds whatever the network stack may deliver to a socket bound to UDP port 123, as
//! [`Located::Datagram`] or as one of the other variants for port 123. What it reports as [`Located::NotNtp`] or
//! [`Located::Truncated`] never reaches such a socket. It may also find packets that the stack doesn't deliver: it
//! verifies neither checksums nor that the frame is as long as its IP header says.

mod ethernet;
mod ipv4;
mod ipv6;
mod located;
pub mod ntp;
mod plain;
pub mod segments;
mod udp;

use crate::packet::Packet;
use network_types::eth::EtherType;

pub use ethernet::{MAX_VLAN_TAGS, Network};
pub use ipv6::MAX_EXTENSION_HEADERS;
pub use located::{Datagram, Located};
pub use plain::{PlainV4, PlainV6};

/// Locates the datagram to port 123 in an Ethernet frame, if there is one.
#[inline(always)]
pub fn locate<P: Packet + ?Sized>(packet: &P) -> Located {
    locate_from(packet, None)
}

/// Like [`locate`], for a frame whose network header may already be known, as on a link without a link-layer header.
#[inline(always)]
pub fn locate_from<P: Packet + ?Sized>(packet: &P, network: Option<Network>) -> Located {
    let network = match network {
        None => ethernet::network(packet),
        known => known,
    };
    let Some(network) = network else { return Located::Truncated };
    let transport = if network.ether_type == EtherType::Ipv4 as u16 {
        ipv4::transport(packet, network.offset)
    } else if network.ether_type == EtherType::Ipv6 as u16 {
        ipv6::transport(packet, network.offset)
    } else {
        return ethernet::other(network.ether_type);
    };
    transport.map_or_else(|located| located, |transport| udp::datagram(packet, transport))
}

/// Locates the datagram from or to port 123 in a packet that leaves this host, if it is one. `network` is its network
/// header.
#[inline(always)]
pub fn locate_leaving<P: Packet + ?Sized>(packet: &P, network: Network) -> Option<Datagram> {
    let transport = if network.ether_type == EtherType::Ipv4 as u16 {
        ipv4::transport(packet, network.offset)
    } else if network.ether_type == EtherType::Ipv6 as u16 {
        ipv6::transport(packet, network.offset)
    } else {
        return None;
    };
    udp::leaving(packet, transport.ok()?)
}
