//! A bare XDP_DROP, against which every cost is measured.
#![no_std]
#![no_main]

#[path = "../../../ntpguard-ebpf/src/runtime.rs"]
mod runtime;

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};

/// Drops every frame.
#[xdp(frags)]
fn ntpguard(_: XdpContext) -> u32 {
    xdp_action::XDP_DROP
}
