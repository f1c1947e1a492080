//! A frame's bytes, in whichever of its buffers they lie.

use crate::packet::copied;
use aya_ebpf::{
    bindings::xdp_md,
    cty::{c_long, c_void},
    helpers::bpf_xdp_load_bytes,
    programs::XdpContext,
};
use core::ops::Deref;
use ntpguard_common::{Packet, packet::Wire};

/// All buffers of the frame (`xdp.frags`).
pub(crate) struct Buffers {
    pub(crate) ctx: *mut xdp_md,
}

impl Buffers {
    #[inline(always)]
    pub(crate) fn of(ctx: &XdpContext) -> Self {
        Self { ctx: ctx.ctx }
    }

    /// Copies `length` bytes from an offset on to `to`. Returns 0 on success; fails past the frame's end.
    ///
    /// # Safety
    /// `to` must have room for `length` bytes.
    #[inline(always)]
    pub(crate) unsafe fn copy_bytes(&self, offset: u32, to: *mut c_void, length: u32) -> c_long {
        // SAFETY: ctx is the context that the kernel gave the program; the caller guarantees the room.
        unsafe { bpf_xdp_load_bytes(self.ctx, offset, to, length) }
    }
}

impl Packet for Buffers {
    #[inline(always)]
    fn load<T: Wire>(&self, offset: usize) -> Option<impl Deref<Target = T>> {
        // SAFETY: the helper writes all bytes to the stack, or fails past the frame's end.
        unsafe { copied(offset, |offset, to, length| self.copy_bytes(offset, to, length)) }
    }
}
