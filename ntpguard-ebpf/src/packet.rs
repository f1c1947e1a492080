//! The two ways to a frame's bytes: straight from the first buffer, or through a helper that crosses buffers.

use aya_ebpf::{
    bindings::xdp_md,
    helpers::{bpf_xdp_get_buff_len, bpf_xdp_load_bytes},
    programs::XdpContext,
};
use core::mem::MaybeUninit;
use ntpguard_common::{
    Packet,
    packet::{PacketMut, Wire},
};

/// Offsets above this are refused, so that the verifier sees a bound; the longest chain of headers that
/// ntpguard follows ends far below (62 + 8 × 2048 bytes).
const MAX_OFFSET: usize = 0x7fff;

/// The first buffer.
pub(crate) struct Linear {
    data: usize,
    data_end: usize,
}

impl Linear {
    #[inline(always)]
    pub(crate) fn of(ctx: &XdpContext) -> Self {
        Self { data: ctx.data(), data_end: ctx.data_end() }
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

/// All buffers of the frame (`xdp.frags`).
pub(crate) struct Buffers {
    ctx: *mut xdp_md,
}

impl Buffers {
    #[inline(always)]
    pub(crate) fn of(ctx: &XdpContext) -> Self {
        Self { ctx: ctx.ctx }
    }

    /// The frame's length in bytes.
    #[inline(always)]
    pub(crate) fn len(&self) -> u64 {
        // SAFETY: ctx is the context that the kernel handed to the program.
        unsafe { bpf_xdp_get_buff_len(self.ctx) }
    }
}

impl Packet for Buffers {
    #[inline(always)]
    fn load<T: Wire>(&self, offset: usize) -> Option<T> {
        if offset > MAX_OFFSET {
            return None;
        }
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: the helper writes size_of::<T>() bytes to the stack, or fails past the frame's end.
        let status = unsafe {
            bpf_xdp_load_bytes(self.ctx, offset as u32, value.as_mut_ptr().cast(), size_of::<T>() as u32)
        };
        // SAFETY: 0 says that every byte was written; `Wire` takes any bytes.
        (status == 0).then(|| unsafe { value.assume_init() })
    }
}
