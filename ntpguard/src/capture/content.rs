//! The content of a captured packet, or why it can't be read.

/// The content of a captured packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// An Ethernet frame.
    Ethernet,
    /// A network packet.
    Network {
        /// The EtherType, in network byte order.
        ether_type: [u8; 2],
        /// The offset of the network header.
        offset: usize,
        /// Whether this host sent it.
        outgoing: bool,
    },
}

/// Why a packet can't be converted to an Ethernet frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skip {
    /// The link type isn't supported.
    LinkType(u16),
    /// A cooked packet from a device type (ARPHRD) whose protocol field isn't an EtherType.
    Device(u16),
    /// A PPP frame of a protocol that carries another packet compressed, encrypted or fragmented.
    Ppp(u16),
    /// No network header: too few bytes were captured, or it isn't IP where only IP is possible.
    Headless,
}

/// EtherTypes, in network byte order.
pub(super) const IPV4: [u8; 2] = [0x08, 0x00];
pub(super) const IPV6: [u8; 2] = [0x86, 0xdd];
