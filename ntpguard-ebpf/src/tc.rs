//! The tc program: the same filter as XDP's ([`filter`]), where XDP is taken or not to be had.
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
mod skb;

use aya_ebpf::{macros::classifier, programs::TcContext};
use skb::Skb;

/// Stands in front of the stack.
#[classifier]
#[inline(always)]
fn ntpguard(ctx: TcContext) -> i32 {
    filter::run(&Skb::of(&ctx)) as i32
}
