//! The kernel's longest-prefix trie behind the least that leads to it, and a counter: what look-ups cost that
//! measurements hold ntpguard's against.
#![no_std]
#![no_main]

#[path = "../../../ntpguard-ebpf/src/runtime.rs"]
mod runtime;

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::{LpmTrie, PerCpuArray, lpm_trie::Key},
    macros::{btf_map, xdp},
    programs::XdpContext,
};

/// The loader sets the size.
#[btf_map]
static RULES: LpmTrie<[u8; 4], u32, 1> = LpmTrie::new();

/// How many frames had a rule.
#[btf_map]
static FOUND: PerCpuArray<u64, 1> = PerCpuArray::new();

/// Where an untagged frame has the IPv4 source address.
const SOURCE: usize = 14 + 12;

/// Drops frames whose source has a rule.
#[xdp(frags)]
fn ntpguard(ctx: XdpContext) -> u32 {
    let (data, end) = (ctx.data(), ctx.data_end());
    if data + SOURCE + 4 > end {
        return xdp_action::XDP_ABORTED;
    }
    // SAFETY: it lies before the end.
    let source = unsafe { ((data + SOURCE) as *const [u8; 4]).read() };
    if RULES.get(&Key::new(32, source)).is_none() {
        return xdp_action::XDP_PASS;
    }
    if let Some(found) = FOUND.get_ptr_mut(0) {
        // SAFETY: this CPU's own value.
        unsafe { *found += 1 };
    }
    xdp_action::XDP_DROP
}
