//! A program that only passes: what a wire costs once there is any XDP program on it.
#![no_std]
#![no_main]

#[path = "../../../ntpguard-ebpf/src/runtime.rs"]
mod runtime;

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};

/// Passes.
#[xdp(frags)]
fn ntpguard(_: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}
