//! A frame's bytes: straight from the first buffer, or through a helper of the hook that crosses buffers.

use crate::packed::PackedVerdict;
use aya_ebpf::cty::{c_long, c_void};
use core::{
    arch::asm,
    hint::{assert_unchecked, cold_path},
    mem::MaybeUninit,
    ops::Deref,
};
use ntpguard_common::{
    Action, Packet, Verdict,
    limit::LimitRequest,
    packet::{PacketMut, Wire},
    wire::{Datagram, Located, Network},
};

/// A frame, as its hook hands it over. As a [`Packet`] it is all of the frame, which costs a call for each access.
pub(crate) trait Frame: Packet {
    /// The first buffer.
    fn linear(&self) -> Linear;

    /// The frame's length in bytes.
    fn len(&self) -> u64;

    /// The index of the interface that it came in by.
    fn interface(&self) -> u32;

    /// A number for the receive queue that it came in by: at XDP the driver's own, from 0.
    fn queue(&self) -> u32;

    /// Turns the frame into a kiss; `false`, and nothing is changed, if that can't be done here. `offsets` is the word
    /// with those of the UDP payload and the IP header (`limit.rs`).
    fn kiss(&self, request: LimitRequest, offsets: u64) -> bool;

    /// Copies bytes from an offset on to `to`, or fails past the frame's end: 0 says that it has.
    ///
    /// # Safety
    /// There is room for `length` bytes.
    unsafe fn copy(&self, offset: u32, to: *mut c_void, length: u32) -> c_long;

    /// Tells of a drop ([`crate::sample`]).
    fn emit(&self, verdict: PackedVerdict);

    /// Writes a line of log about a verdict, if this is the program that does.
    #[inline(always)]
    fn trace(&self, _: Verdict) {}

    /// Where its network header is, if it isn't an Ethernet frame.
    #[inline(always)]
    fn network(&self) -> Option<Network> {
        None
    }

    /// Whether several datagrams share its headers (`wire::segments`).
    #[inline(always)]
    fn is_several(&self) -> bool {
        false
    }

    /// The one to be judged of several datagrams that share its headers, or the one that there is.
    #[inline(always)]
    fn of_several(&self, datagram: Datagram) -> Located {
        Located::Datagram(datagram)
    }

    /// Judges it by all of its buffers ([`crate::filter::whole`]), in a function of its own: seldom needed, and the verifier
    /// needn't walk it again behind every path that leads to it.
    fn judge_whole(&self) -> u32;

    /// What the hook is told of an action.
    fn code(action: Action) -> u32;
}

/// Offsets above this are refused, so that the verifier sees a bound; the longest chain of headers that
/// ntpguard follows ends far below (104 + 8 × 2048 bytes).
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

    /// Where a T begins, if all of it lies before `data_end`.
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
        // SAFETY: the kernel has nothing at 0.
        unsafe { assert_unchecked(start != 0) };
        Some(start)
    }
}

/// A number below BOUND, in words that the verifier understands: what it has learnt from a compare is lost where the compiler
/// compares one copy of a number and goes on with another.
#[inline(always)]
pub(crate) fn bounded<const BOUND: usize>(mut number: usize) -> usize {
    const { assert!(BOUND.is_power_of_two()) };
    // SAFETY: it touches nothing but the register.
    unsafe { asm!("{} &= {}", inout(reg) number, const BOUND - 1, options(pure, nomem, nostack)) };
    number
}

impl PacketMut for Linear {
    #[inline(always)]
    fn at<T: Wire>(&mut self, offset: usize) -> Option<&mut T> {
        let () = T::ALIGNED_TO_ANY_BYTE;
        let start = self.start::<T>(offset)?;
        // SAFETY: all of T lies before data_end, and this program alone holds the frame; `Wire` takes any bytes.
        Some(unsafe { &mut *(start as *mut T) })
    }
}

impl Packet for Linear {
    #[inline(always)]
    fn load<T: Wire>(&self, offset: usize) -> Option<impl Deref<Target = T>> {
        let () = T::ALIGNED_TO_ANY_BYTE;
        let start = self.start::<T>(offset)?;
        // SAFETY: all of T lies before data_end, and nobody writes to the frame meanwhile; `Wire` takes any bytes.
        Some(unsafe { &*(start as *const T) })
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
) -> Option<Copied<T>> {
    // No frame is as long: several datagrams in one have 64 KiB.
    if offset > 4 * MAX_OFFSET {
        return None;
    }
    let mut value = MaybeUninit::<Copied<T>>::uninit();
    let status = copy(offset as u32, value.as_mut_ptr().cast(), size_of::<T>() as u32);
    // SAFETY: 0 says that every byte was written; `Wire` takes any bytes. What comes after them is padding.
    (status == 0).then(|| unsafe { value.assume_init() })
}

/// A header on the stack, where the verifier wants whatever is read to lie at a multiple of its size.
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
