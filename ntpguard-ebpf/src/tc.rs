//! The tc program: the same filter as XDP's ([`filter`]), where XDP is taken or not to be had.
#![no_std]
#![no_main]

mod filter;
mod limit;
mod maps;
mod packet;
mod rule;
mod runtime;
mod sample;
mod skb;

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC},
    macros::classifier,
    programs::TcContext,
};
use ntpguard_common::Action;
use skb::Skb;

/// Stands in front of the stack.
#[classifier]
fn ntpguard(ctx: TcContext) -> i32 {
    match filter::run(&Skb::of(&ctx), |_| ()) {
        Action::Drop => TC_ACT_SHOT,
        // Says nothing instead of "accepted", so that other programs at the hook have their say. Nothing is sent back.
        Action::Pass | Action::Transmit => TC_ACT_UNSPEC,
    }
}
