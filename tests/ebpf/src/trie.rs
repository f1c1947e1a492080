//! The kernel's longest-prefix trie (LPM trie) with minimal code around it and a counter: the cost of a lookup to
//! compare ntpguard's with.
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

/// The rules; the loader sets the size.
#[btf_map]
static RULES: LpmTrie<[u8; 4], u32, 1> = LpmTrie::new();

/// The number of frames whose source had a rule.
#[btf_map]
static FOUND: PerCpuArray<u64, 1> = PerCpuArray::new();

/// The offset of the IPv4 source address in an untagged frame.
const SOURCE: usize = 14 + 12;

/// Drops frames whose source has a rule.
#[xdp(frags)]
fn ntpguard(ctx: XdpContext) -> u32 {
    let (data, end) = (ctx.data(), ctx.data_end());
    if data + SOURCE + 4 > end {
        return xdp_action::XDP_ABORTED;
    }
    // SAFETY: the source address lies before the end.
    let source = unsafe { ((data + SOURCE) as *const [u8; 4]).read() };
    if RULES.get(&Key::new(32, source)).is_none() {
        return xdp_action::XDP_PASS;
    }
    if let Some(found) = FOUND.get_ptr_mut(0) {
        // SAFETY: it is this CPU's own value.
        unsafe { *found += 1 };
    }
    xdp_action::XDP_DROP
}
