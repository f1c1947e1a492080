//! A frame's bytes: read directly from the first buffer, or through a helper that also reads the other buffers.

use aya_ebpf::cty::{c_long, c_void};
use core::{
    arch::asm,
    hint::{assert_unchecked, cold_path},
    mem::MaybeUninit,
    ops::Deref,
};
use ntpguard_common::{
    Packet,
    packet::{PacketMut, Wire},
};

/// Greater offsets are refused, so that the verifier knows a bound. The longest chain of headers that ntpguard follows
/// ends far below it (104 + 8 × 2048 bytes).
const MAX_OFFSET: usize = 0x7fff;

/// The frame's first buffer.
pub(crate) struct Linear {
    pub(crate) data: usize,
    pub(crate) data_end: usize,
}

impl Linear {
    /// The bytes between two packet pointers from the program's context.
    #[inline(always)]
    pub(crate) fn new(data: usize, data_end: usize) -> Self {
        Self { data, data_end }
    }

    /// The address of the T at this offset, if all of it lies before `data_end`.
    #[inline(always)]
    fn start<T>(&self, offset: usize) -> Option<usize> {
        if offset > MAX_OFFSET {
            cold_path();
            return None;
        }
        let start = self.data + bounded::<{ MAX_OFFSET + 1 }>(offset);
        if start + size_of::<T>() > self.data_end {
            cold_path();
            return None;
        }
        // SAFETY: no packet is at address 0.
        unsafe { assert_unchecked(start != 0) };
        Some(start)
    }
}

/// Limits a number to less than BOUND in a way that the verifier sees. What it has learnt from a comparison is lost if
/// the compiler compares one copy of the number and continues with another.
#[inline(always)]
pub(crate) fn bounded<const BOUND: usize>(mut number: usize) -> usize {
    const { assert!(BOUND.is_power_of_two()) };
    // SAFETY: the instruction accesses only the register.
    unsafe { asm!("{} &= {}", inout(reg) number, const BOUND - 1, options(pure, nomem, nostack)) };
    number
}

impl PacketMut for Linear {
    #[inline(always)]
    fn at<T: Wire>(&mut self, offset: usize) -> Option<&mut T> {
        let () = T::ALIGNED_TO_ANY_BYTE;
        let start = self.start::<T>(offset)?;
        // SAFETY: all of T lies before data_end, and only this program accesses the frame; `Wire` says that any bytes
        // make a T.
        Some(unsafe { &mut *(start as *mut T) })
    }
}

impl Packet for Linear {
    #[inline(always)]
    fn load<T: Wire>(&self, offset: usize) -> Option<impl Deref<Target = T>> {
        let () = T::ALIGNED_TO_ANY_BYTE;
        let start = self.start::<T>(offset)?;
        // SAFETY: all of T lies before data_end, and nobody writes to the frame meanwhile; `Wire` says that any bytes
        // make a T.
        Some(unsafe { &*(start as *const T) })
    }
}

/// A header copied by a kernel helper. `copy` takes the offset, the destination and the number of bytes.
///
/// # Safety
/// If `copy` returns 0, it must have written all of these bytes.
#[inline(always)]
pub(crate) unsafe fn copied<T: Wire>(
    offset: usize,
    copy: impl FnOnce(u32, *mut c_void, u32) -> c_long,
) -> Option<Copied<T>> {
    // No frame is that long: one with several datagrams has at most 64 KiB.
    if offset > 4 * MAX_OFFSET {
        return None;
    }
    let mut value = MaybeUninit::<Copied<T>>::uninit();
    let status = copy(offset as u32, value.as_mut_ptr().cast(), size_of::<T>() as u32);
    // SAFETY: 0 means that every byte was written; `Wire` says that any bytes make a T. The bytes after it are padding.
    (status == 0).then(|| unsafe { value.assume_init() })
}

/// A header on the stack, where the verifier requires that what is read is aligned to its size.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(crate) struct Copied<T>(T);

impl<T> Deref for Copied<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}
