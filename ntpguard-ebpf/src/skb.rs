//! A frame as tc has it: a socket buffer, with the Ethernet header before it. The outer VLAN tag may lie beside the bytes
//! (the driver, or the kernel before tc, has taken it out): the frame then is an untagged one, and is read as such.

use crate::packet::{Frame, Linear, copied};
use aya_ebpf::{bindings::__sk_buff, helpers::bpf_skb_load_bytes, programs::TcContext};
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
        unsafe {
            copied(offset, |offset, to, length| {
                bpf_skb_load_bytes(self.skb.cast_const().cast(), offset, to, length)
            })
        }
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
}
