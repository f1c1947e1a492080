//! A bare XDP_DROP: every cost is measured against it.
#![no_std]
#![no_main]

#[path = "../../../ntpguard-ebpf/src/runtime.rs"]
mod runtime;

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};

/// Drops.
#[xdp(frags)]
fn ntpguard(_: XdpContext) -> u32 {
    xdp_action::XDP_DROP
}
