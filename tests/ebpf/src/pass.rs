//! A program that only passes: measures what a link costs when any XDP program is attached to it.
#![no_std]
#![no_main]

#[path = "../../../ntpguard-ebpf/src/runtime.rs"]
mod runtime;

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};

/// Passes every frame.
#[xdp(frags)]
fn ntpguard(_: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}
