//! A frame as XDP provides it: in one buffer or several, and writable, so that it can become the answer.

mod buffers;

pub(crate) use buffers::Buffers;

use crate::{
    filter, frame::Frame, limit::NETWORK_SHIFT, log, maps::Maps, packed::IS_V6,
    packed_verdict::PackedVerdict, packet::Linear, sample,
};
use aya_ebpf::{
    bindings::{xdp_action, xdp_md},
    cty::{c_long, c_void},
    helpers::{bpf_csum_diff, bpf_xdp_get_buff_len},
    programs::XdpContext,
};
use core::ptr::{from_ref, null_mut};
use ntpguard_common::{
    Action, LimiterState as _, Verdict,
    kiss::{self, Sums},
    limit::LimitRequest,
};

impl Frame for Buffers {
    #[inline(always)]
    fn linear(&self) -> Linear {
        let ctx = XdpContext::new(self.ctx);
        Linear::new(ctx.data(), ctx.data_end())
    }

    #[inline(always)]
    fn len(&self) -> u64 {
        // SAFETY: ctx is the context that the kernel gave the program.
        unsafe { bpf_xdp_get_buff_len(self.ctx) }
    }

    #[inline(always)]
    fn interface(&self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.ctx).ingress_ifindex }
    }

    #[inline(always)]
    fn queue(&self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.ctx).rx_queue_index }
    }

    #[inline(always)]
    fn kiss(&self, request: LimitRequest, offsets: u64) -> bool {
        ntpguard_kiss(self.ctx, request.0, offsets) != 0
    }

    #[inline(always)]
    unsafe fn copy(&self, offset: u32, to: *mut c_void, length: u32) -> c_long {
        // SAFETY: the caller guarantees the room.
        unsafe { self.copy_bytes(offset, to, length) }
    }

    #[inline(always)]
    fn emit(&self, PackedVerdict { why, what }: PackedVerdict) {
        ntpguard_tell(self.ctx, why, what);
    }

    #[inline(always)]
    fn trace(&self, verdict: Verdict) {
        log::log(self.ctx, verdict);
    }

    #[inline(always)]
    fn judge_whole(&self) -> u32 {
        ntpguard_whole(self.ctx)
    }

    #[inline(always)]
    fn code(action: Action) -> u32 {
        match action {
            Action::Pass => xdp_action::XDP_PASS,
            Action::Drop => xdp_action::XDP_DROP,
            Action::Transmit => xdp_action::XDP_TX,
        }
    }
}

/// [`Frame::judge_whole`] as a global function.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ntpguard_whole(ctx: *mut xdp_md) -> u32 {
    filter::whole(&Buffers { ctx })
}

/// [`Frame::kiss`] as a global function, which the verifier checks only once (`limit.rs`). Turns the frame into its
/// kiss; returns 0 and changes nothing if that isn't possible. `offsets` packs the offsets of the UDP payload and of
/// the IP header.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ntpguard_kiss(ctx: *mut xdp_md, request: u64, offsets: u64) -> u32 {
    let (word, is_v6) = (LimitRequest(request).word(), offsets & IS_V6 != 0);
    let Some(limits) = Maps.limits(word.slot()) else { return 0 };
    // The masks lose nothing: no headers are that long.
    let offsets = [(offsets >> NETWORK_SHIFT) as u8 as usize, offsets as u16 as usize];
    let mut frame = Buffers { ctx }.linear();
    u32::from(kiss::turn(&mut frame, offsets, is_v6, word, limits, &Helper))
}

/// [`Frame::emit`] as a global function.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ntpguard_tell(ctx: *mut xdp_md, why: u64, what: u64) -> u32 {
    sample::record(&Buffers { ctx }, PackedVerdict { why, what })
}

/// The checksum helper of the kernel.
struct Helper;

impl Sums for Helper {
    #[inline(always)]
    fn of<T>(&self, header: &T) -> u64 {
        const { assert!(size_of::<T>().is_multiple_of(4)) };
        // SAFETY: it reads T, and nothing else: the other range is empty.
        let sum = unsafe {
            bpf_csum_diff(null_mut(), 0, from_ref(header).cast_mut().cast(), size_of::<T>() as u32, 0)
        };
        sum as u32 as u64
    }
}
