//! The XDP program: reads a frame, asks [`ntpguard_common::decide`] and [`ntpguard_common::limit`], counts, answers.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod filter;
mod limit;
mod maps;
mod packet;
mod rule;
mod runtime;
mod sample;
mod xdp;

use aya_ebpf::{macros::xdp, programs::XdpContext};
use ntpguard_common::Verdict;
use xdp::Buffers;

/// Stands in front of the daemon. `frags`: frames in several buffers (jumbo) are shown too.
#[xdp(frags)]
#[inline(always)]
fn ntpguard(ctx: XdpContext) -> u32 {
    filter::run(&Buffers::of(&ctx))
}

/// Nothing is logged here ([`packet::Frame::trace`]).
#[inline(always)]
fn trace(_: &XdpContext, _: Verdict) {}
