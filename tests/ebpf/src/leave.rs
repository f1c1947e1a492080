//! A program at a cgroup's egress that only passes: the floor for the program that learns associations.
#![no_std]
#![no_main]

#[path = "../../../ntpguard-ebpf/src/runtime.rs"]
mod runtime;

use aya_ebpf::{macros::cgroup_skb, programs::SkBuffContext};

/// Passes every packet.
#[cgroup_skb(egress)]
fn ntpguard(_: SkBuffContext) -> i32 {
    1
}
