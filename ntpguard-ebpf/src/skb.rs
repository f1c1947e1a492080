//! A frame as tc has it: a socket buffer, with the Ethernet header before it. The outer VLAN tag may lie beside the bytes
//! (the driver, or the kernel before tc, has taken it out): the frame then is an untagged one, and is read as such.

use crate::{
    packet::{Frame, Linear, copied},
    sample::{self, Words},
};
use aya_ebpf::{
    bindings::__sk_buff,
    cty::{c_long, c_void},
    helpers::bpf_skb_load_bytes,
    programs::TcContext,
};
use ntpguard_common::{Packet, limit::Asked, packet::Wire};

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
    fn load<T: Wire>(&self, offset: usize) -> Option<T> {
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
    fn tell(&self, Words { high, low, why, what }: Words) {
        ntpguard_tell(self.skb, high, low, why, what);
    }
}

/// [`Frame::tell`], as a function of its own.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ntpguard_tell(skb: *mut __sk_buff, high: u64, low: u64, why: u64, what: u64) -> u32 {
    sample::record(&Skb { skb }, Words { high, low, why, what })
}
