//! The XDP program: reads a frame, judges it by [`ntpguard_common::decide`] and [`ntpguard_common::limit`], counts it,
//! and drops, passes or answers it.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod associations;
mod filter;
mod frame;
mod learn;
mod limit;
mod log {
    mod nothing;
    pub(crate) use nothing::log;
}
mod maps;
mod packed;
mod packed_verdict;
mod packet;
mod policy;
mod rule;
mod runtime;
mod sample;
mod xdp;

use aya_ebpf::{macros::xdp, programs::XdpContext};
use xdp::Buffers;

/// The XDP program, in front of the network stack. `frags`: it also gets frames in several buffers (jumbo frames).
#[xdp(frags)]
#[inline(always)]
fn ntpguard(ctx: XdpContext) -> u32 {
    filter::run(&Buffers::of(&ctx))
}

/// The same program, loaded without the flag for frames in several buffers (BPF_F_XDP_HAS_FRAGS). It is for drivers
/// that don't support those, and for generic XDP, which copies each frame for a program that has the flag and loses its
/// hardware receive timestamp (net/core/dev.c:netif_skb_check_for_xdp, Linux 6.9 and newer). Its name distinguishes the
/// two, since the kernel doesn't report the flag.
#[xdp]
#[inline(always)]
fn ntpguard_linear(ctx: XdpContext) -> u32 {
    filter::run(&Buffers::of(&ctx))
}
