//! A frame as tc has it: a socket buffer, with the Ethernet header before it. The outer VLAN tag may lie beside the bytes
//! (the driver, or the kernel before tc, has taken it out): the frame then is an untagged one, and is read as such.

use crate::{
    filter,
    packet::{Frame, Linear, copied},
    sample::{self, Words},
};
use aya_ebpf::{
    bindings::{__sk_buff, TC_ACT_SHOT, TC_ACT_UNSPEC},
    cty::{c_long, c_void},
    helpers::bpf_skb_load_bytes,
    programs::TcContext,
};
use core::ops::Deref;
use ntpguard_common::{Action, Packet, limit::Asked, packet::Wire};

/// All of the socket buffer, its pages included.
pub(crate) struct Skb {
    skb: *mut __sk_buff,
}

impl Skb {
    #[inline(always)]
    pub(crate) fn of(ctx: &TcContext) -> Self {
        Self { skb: ctx.skb.skb }
    }
}

impl Packet for Skb {
    #[inline(always)]
    fn load<T: Wire>(&self, offset: usize) -> Option<impl Deref<Target = T>> {
        // SAFETY: the helper writes every byte to the stack, or fails past the frame's end.
        unsafe { copied(offset, |offset, to, length| self.copy(offset, to, length)) }
    }
}

impl Frame for Skb {
    #[inline(always)]
    fn linear(&self) -> Linear {
        let ctx = TcContext::new(self.skb);
        Linear::new(ctx.data(), ctx.data_end())
    }

    #[inline(always)]
    fn len(&self) -> u64 {
        u64::from(TcContext::new(self.skb).len())
    }

    #[inline(always)]
    fn interface(&self) -> u32 {
        // SAFETY: the context that the kernel handed to the program.
        unsafe { (*self.skb).ifindex }
    }

    #[inline(always)]
    fn queue(&self) -> u32 {
        // One more than the queue's number, or 0 (include/linux/skbuff.h:skb_record_rx_queue): as good for counting.
        // SAFETY: as above.
        unsafe { (*self.skb).queue_mapping }
    }

    /// Here nothing can be sent back by the way it came: what has earned a kiss gets the daemon's.
    #[inline(always)]
    fn kiss(&self, _: Asked, _: u64) -> bool {
        false
    }

    #[inline(always)]
    unsafe fn copy(&self, offset: u32, to: *mut c_void, length: u32) -> c_long {
        // SAFETY: the context that the kernel handed to the program; the caller has room.
        unsafe { bpf_skb_load_bytes(self.skb.cast_const().cast(), offset, to, length) }
    }

    #[inline(always)]
    fn tell(&self, Words { why, what }: Words) {
        ntpguard_tell(self.skb, why, what);
    }

    #[inline(always)]
    fn judge_whole(&self) -> u32 {
        ntpguard_whole(self.skb)
    }

    #[inline(always)]
    fn code(action: Action) -> u32 {
        let code = match action {
            Action::Drop => TC_ACT_SHOT,
            // Says nothing instead of "accepted", so that other programs at the hook have their say. Nothing is sent back.
            Action::Pass | Action::Transmit => TC_ACT_UNSPEC,
        };
        code as u32
    }
}

/// [`Frame::judge_whole`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ntpguard_whole(skb: *mut __sk_buff) -> u32 {
    let frame = Skb { skb };
    filter::judge(&frame, &frame).unwrap_or_else(|| filter::pass(&frame))
}

/// [`Frame::tell`], as a function of its own.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ntpguard_tell(skb: *mut __sk_buff, why: u64, what: u64) -> u32 {
    sample::record(&Skb { skb }, Words { why, what })
}
