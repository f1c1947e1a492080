//! What a captured packet holds, or why it can't be read.

/// What a captured packet holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// An Ethernet frame.
    Ethernet,
    /// A network packet.
    Network {
        /// In network byte order.
        ether_type: [u8; 2],
        /// Where it begins.
        offset: usize,
        /// This machine sent it.
        outgoing: bool,
    },
}

/// Why a packet can't be made an Ethernet frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skip {
    /// The link type isn't known here.
    LinkType(u16),
    /// A cooked packet of a device (ARPHRD) whose protocol field is no EtherType.
    Device(u16),
    /// A PPP frame of a protocol that has another packet inside in a form that can't be read.
    Ppp(u16),
    /// No network header: too few bytes were kept, or it isn't IP where it should be.
    Headless,
}

/// EtherTypes, in network byte order.
pub(super) const IPV4: [u8; 2] = [0x08, 0x00];
pub(super) const IPV6: [u8; 2] = [0x86, 0xdd];
