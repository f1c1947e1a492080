//! Ethernet II and VLAN tags (IEEE 802.1Q).

use crate::packet::Packet;
use core::mem::offset_of;
use network_types::{
    eth::{EthHdr, EtherType},
    vlan::VlanHdr,
};

/// Tags followed, C or S (802.1Q, 802.1ad), in any order, priority tags (VLAN 0) included. Linux knows no other
/// tag protocol (include/linux/if_vlan.h:eth_type_vlan).
pub const MAX_VLAN_TAGS: usize = 2;

/// The network header's type and place.
pub(super) struct Network {
    /// EtherType in network byte order, as network-types has it.
    pub(super) ether_type: u16,
    pub(super) offset: usize,
}

#[inline(always)]
pub(super) fn network<P: Packet + ?Sized>(packet: &P) -> Option<Network> {
    let mut ether_type = u16::from_ne_bytes(*packet.load(offset_of!(EthHdr, ether_type))?);
    let mut offset = EthHdr::LEN;
    for _ in 0..MAX_VLAN_TAGS {
        if ether_type != EtherType::Ieee8021q as u16 && ether_type != EtherType::Ieee8021ad as u16 {
            break;
        }
        ether_type = u16::from_ne_bytes(*packet.load(offset + offset_of!(VlanHdr, ether_type))?);
        offset += VlanHdr::LEN;
    }
    Some(Network { ether_type, offset })
}
