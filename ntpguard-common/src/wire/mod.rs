//! Frame to datagram: Ethernet, VLAN tags, PPPoE, IPv4 or IPv6, UDP, as Linux would read them.
//!
//! Contract: whatever the stack may hand to a socket bound to UDP port 123, [`locate`] finds: as
//! [`Located::Datagram`], or as one of the others that say "port 123". What it calls [`Located::NotNtp`] or
//! [`Located::Truncated`] doesn't get there. It may find more than the stack delivers: checksums are not
//! verified, nor whether the frame is as long as its IP header says.

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

/// Finds the datagram to port 123 in an Ethernet frame, if it is one.
#[inline(always)]
pub fn locate<P: Packet + ?Sized>(packet: &P) -> Located {
    locate_from(packet, None)
}

/// The same in a frame whose network header's place is known already, as it is on a link without a header of its own.
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
