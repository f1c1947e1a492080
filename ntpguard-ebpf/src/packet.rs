//! A frame's bytes: straight from the first buffer, or through a helper of the hook that crosses buffers.

use crate::sample::Words;
use aya_ebpf::cty::{c_long, c_void};
use core::mem::MaybeUninit;
use ntpguard_common::{
    Packet,
    limit::Asked,
    packet::{PacketMut, Wire},
};

/// A frame, as its hook hands it over. As a [`Packet`] it is all of the frame, which costs a call for each access.
pub(crate) trait Frame: Packet {
    /// The first buffer.
    fn linear(&self) -> Linear;

    /// The frame's length in bytes.
    fn len(&self) -> u64;

    /// The index of the interface that it came in by.
    fn interface(&self) -> u32;

    /// Turns the frame into a kiss; `false`, and nothing is changed, if that can't be done here. `payload` is the word
    /// with the offset of the UDP payload (`limit.rs`).
    fn kiss(&self, asked: Asked, payload: u64) -> bool;

    /// Copies bytes from an offset on to `to`, or fails past the frame's end: 0 says that it has.
    ///
    /// # Safety
    /// There is room for `length` bytes.
    unsafe fn copy(&self, offset: u32, to: *mut c_void, length: u32) -> c_long;

    /// Tells of a drop ([`crate::sample`]).
    fn tell(&self, words: Words);
}

/// Offsets above this are refused, so that the verifier sees a bound; the longest chain of headers that
/// ntpguard follows ends far below (62 + 8 × 2048 bytes).
const MAX_OFFSET: usize = 0x7fff;

/// The first buffer.
pub(crate) struct Linear {
    data: usize,
    data_end: usize,
}

impl Linear {
    /// Between two packet pointers of the program's context.
    #[inline(always)]
    pub(crate) fn new(data: usize, data_end: usize) -> Self {
        Self { data, data_end }
    }

    /// Its length in bytes: the frame's, unless the frame has several buffers.
    #[inline(always)]
    pub(crate) fn len(&self) -> u64 {
        (self.data_end - self.data) as u64
    }
}

impl PacketMut for Linear {
    #[inline(always)]
    fn at<T: Wire>(&mut self, offset: usize) -> Option<&mut T> {
        const { assert!(align_of::<T>() == 1) };
        if offset > MAX_OFFSET || self.data + offset + size_of::<T>() > self.data_end {
            return None;
        }
        // SAFETY: all of T lies before data_end, and this program alone holds the frame; `Wire` takes any bytes.
        Some(unsafe { &mut *((self.data + offset) as *mut T) })
    }
}

impl Packet for Linear {
    #[inline(always)]
    fn load<T: Wire>(&self, offset: usize) -> Option<T> {
        if offset > MAX_OFFSET || self.data + offset + size_of::<T>() > self.data_end {
            return None;
        }
        // SAFETY: all of T lies before data_end, by the compare that the verifier asks for; `Wire` takes any bytes.
        Some(unsafe { ((self.data + offset) as *const T).read_unaligned() })
    }
}

/// A header that a helper of the kernel copies: it is given the offset, where to, and how many bytes.
///
/// # Safety
/// When `copy` returns 0, it has written all of these bytes.
#[inline(always)]
pub(crate) unsafe fn copied<T: Wire>(
    offset: usize,
    copy: impl FnOnce(u32, *mut c_void, u32) -> c_long,
) -> Option<T> {
    if offset > MAX_OFFSET {
        return None;
    }
    let mut value = MaybeUninit::<T>::uninit();
    let status = copy(offset as u32, value.as_mut_ptr().cast(), size_of::<T>() as u32);
    // SAFETY: 0 says that every byte was written; `Wire` takes any bytes.
    (status == 0).then(|| unsafe { value.assume_init() })
}
