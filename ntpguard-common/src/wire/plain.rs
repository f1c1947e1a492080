//! The first bytes of a frame whose headers lie where nearly everybody's do.

use super::{Located, ipv4, udp};
use crate::packet::{Packet, Wire};
use core::{
    mem::{offset_of, size_of},
    ops::Deref,
};
use network_types::{
    eth::{EthHdr, EtherType},
    ip::{IpProto, Ipv4Hdr},
    udp::UdpHdr,
};

/// The headers of a datagram over IPv4 without options in an untagged Ethernet frame, and two bytes of its payload: enough
/// to tell its mode. Read as a [`Packet`] of so many bytes, every offset in it is known when it is compiled, and none has
/// to be compared with the frame's end.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Plain([u8; LEN]);

const LEN: usize = EthHdr::LEN + Ipv4Hdr::LEN + UdpHdr::LEN + 2;

// SAFETY: an array of bytes.
unsafe impl Wire for Plain {}

impl Plain {
    /// What [`super::locate`] finds; `None` if the headers aren't these.
    #[inline(always)]
    pub fn locate(&self) -> Option<Located> {
        let ether_type = u16::from_ne_bytes(*self.load(offset_of!(EthHdr, ether_type))?);
        let header = self.load::<Ipv4Hdr>(EthHdr::LEN)?;
        // Version 4, and five words of header.
        if ether_type != EtherType::Ipv4 as u16 || header.vihl != 0x45 {
            return None;
        }
        if header.proto != IpProto::Udp as u8 {
            return Some(Located::NotNtp);
        }
        let transport = ipv4::behind(self, EthHdr::LEN, &header, Ipv4Hdr::LEN).ok()?;
        match udp::datagram(self, transport) {
            located @ (Located::Datagram(_) | Located::NotNtp) => Some(located),
            _ => None,
        }
    }
}

impl Packet for Plain {
    #[inline(always)]
    fn load<T: Wire>(&self, offset: usize) -> Option<impl Deref<Target = T>> {
        let () = T::ALIGNED_TO_ANY_BYTE;
        if offset + size_of::<T>() > LEN {
            return None;
        }
        // SAFETY: all of T lies within, and `Wire` takes any bytes.
        Some(unsafe { &*self.0.as_ptr().add(offset).cast::<T>() })
    }
}
