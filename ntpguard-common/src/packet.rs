//! The only access to a packet's bytes.
//!
//! Contract: [`Packet::load`] returns `None` exactly when one of the wanted bytes lies past the packet's
//! end. It never panics and never reads out of bounds, whatever the offset.

use network_types::{
    eth::EthHdr,
    ip::{Ipv4Hdr, Ipv6Hdr},
    udp::UdpHdr,
    vlan::VlanHdr,
};

/// A header as it lies on the wire: fields in network byte order, no padding.
///
/// # Safety
/// Every bit pattern of `size_of::<Self>()` bytes must be a valid value.
pub unsafe trait Wire: Copy {}

// SAFETY: arrays of bytes.
unsafe impl<const N: usize> Wire for [u8; N] {}
// SAFETY: `#[repr(C)]` structs of integers and byte arrays without padding (sizes asserted below).
unsafe impl Wire for EthHdr {}
// SAFETY: as above.
unsafe impl Wire for VlanHdr {}
// SAFETY: as above.
unsafe impl Wire for Ipv4Hdr {}
// SAFETY: as above.
unsafe impl Wire for Ipv6Hdr {}
// SAFETY: as above.
unsafe impl Wire for UdpHdr {}

const _: () = assert!(EthHdr::LEN == 14 && VlanHdr::LEN == 4 && UdpHdr::LEN == 8);
const _: () = assert!(Ipv4Hdr::LEN == 20 && Ipv6Hdr::LEN == 40);

/// A frame, from the first byte of its Ethernet header.
pub trait Packet {
    /// Copies a header out of the frame; `offset` is in bytes from the frame's start.
    fn load<T: Wire>(&self, offset: usize) -> Option<T>;
}

/// A frame that can be written to.
pub trait PacketMut: Packet {
    /// A header where it lies; `None` when not all of it can be written to. T is aligned to any byte.
    fn at<T: Wire>(&mut self, offset: usize) -> Option<&mut T>;
}

impl PacketMut for [u8] {
    fn at<T: Wire>(&mut self, offset: usize) -> Option<&mut T> {
        const { assert!(align_of::<T>() == 1) };
        let bytes = self.get_mut(offset..offset.checked_add(size_of::<T>())?)?;
        // SAFETY: `bytes` is exactly as long as T, and `Wire` says that any bytes make a T.
        Some(unsafe { &mut *bytes.as_mut_ptr().cast() })
    }
}

impl Packet for [u8] {
    fn load<T: Wire>(&self, offset: usize) -> Option<T> {
        let end = offset.checked_add(size_of::<T>())?;
        let bytes = self.get(offset..end)?;
        // SAFETY: `bytes` is exactly as long as T, and `Wire` says that any bytes make a T.
        Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_up_to_the_last_byte_and_not_past_it() {
        let frame: &[u8] = &[1, 2, 3, 4];
        assert_eq!(frame.load::<[u8; 2]>(2), Some([3, 4]));
        assert_eq!(frame.load::<[u8; 2]>(3), None);
        assert_eq!(frame.load::<[u8; 1]>(usize::MAX), None);
    }
}
