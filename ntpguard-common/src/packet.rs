//! Access to a packet's bytes; there is no other.
//!
//! Contract: [`Packet::load`] returns `None` exactly if one of the requested bytes lies past the packet's end. It never
//! panics and never reads out of bounds, whatever the offset.

use core::ops::Deref;
use network_types::{
    ip::{Ipv4Hdr, Ipv6Hdr},
    udp::UdpHdr,
};

/// A header as it lies on the wire: fields in network byte order, no padding.
///
/// # Safety
/// Every bit pattern of `size_of::<Self>()` bytes must be a valid value, at any address.
pub unsafe trait Wire: Copy + 'static {
    /// Evaluated wherever a reference is made: the type must be valid at any address.
    const ALIGNED_TO_ANY_BYTE: () = assert!(align_of::<Self>() == 1);
}

// SAFETY: arrays of bytes.
unsafe impl<const N: usize> Wire for [u8; N] {}
// SAFETY: `#[repr(C)]` structs of byte arrays without padding (sizes asserted below).
unsafe impl Wire for Ipv4Hdr {}
// SAFETY: as above.
unsafe impl Wire for Ipv6Hdr {}
// SAFETY: as above.
unsafe impl Wire for UdpHdr {}

const _: () = assert!(Ipv4Hdr::LEN == 20 && Ipv6Hdr::LEN == 40 && UdpHdr::LEN == 8);

/// A frame, from the first byte of its Ethernet header.
pub trait Packet {
    /// A header in place, or a copy of it; `offset` is in bytes from the frame's start.
    fn load<T: Wire>(&self, offset: usize) -> Option<impl Deref<Target = T>>;
}

/// A frame that can be written to.
pub trait PacketMut: Packet {
    /// A header in place; `None` if not all of it is writable. T must have an alignment of 1.
    fn at<T: Wire>(&mut self, offset: usize) -> Option<&mut T>;
}

impl PacketMut for [u8] {
    fn at<T: Wire>(&mut self, offset: usize) -> Option<&mut T> {
        let () = T::ALIGNED_TO_ANY_BYTE;
        let bytes = self.get_mut(offset..offset.checked_add(size_of::<T>())?)?;
        // SAFETY: `bytes` is exactly as long as T, and `Wire` says that any bytes make a T.
        Some(unsafe { &mut *bytes.as_mut_ptr().cast() })
    }
}

impl Packet for [u8] {
    fn load<T: Wire>(&self, offset: usize) -> Option<impl Deref<Target = T>> {
        let () = T::ALIGNED_TO_ANY_BYTE;
        let end = offset.checked_add(size_of::<T>())?;
        let bytes = self.get(offset..end)?;
        // SAFETY: `bytes` is exactly as long as T, and `Wire` says that any bytes make a T.
        Some(unsafe { &*bytes.as_ptr().cast::<T>() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_up_to_the_last_byte_and_not_past_it() {
        let frame: &[u8] = &[1, 2, 3, 4];
        assert_eq!(frame.load::<[u8; 2]>(2).as_deref(), Some(&[3, 4]));
        assert!(frame.load::<[u8; 2]>(3).is_none());
        assert!(frame.load::<[u8; 1]>(usize::MAX).is_none());
    }
}
