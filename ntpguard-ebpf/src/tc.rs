//! The tc program: the same filter as at XDP ([`filter`]), for interfaces where XDP is taken or not available.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod associations;
mod filter;
mod frame;
mod learn;
mod limit;
mod maps;
mod packed;
mod packed_verdict;
mod packet;
mod policy;
mod rule;
mod runtime;
mod sample;
mod skb;

use aya_ebpf::{macros::classifier, programs::TcContext};
use frame::Frame as _;
use skb::Skb;

/// The tc program, in front of the network stack.
#[classifier]
#[inline(always)]
fn ntpguard(ctx: TcContext) -> i32 {
    let frame = Skb::of(&ctx);
    let code = if frame.may_be_bare() { frame.judge_whole() } else { filter::run(&frame) };
    code as i32
}
