//! Gives each frame another source, then calls another program: measures what that program costs with changing sources.
//! For BPF_PROG_TEST_RUN, never attached.
//!
//! A test run uses the same frame for all of its repeats, so the other program sees what is written here.
#![no_std]
#![no_main]

#[path = "../../../ntpguard-ebpf/src/runtime.rs"]
mod runtime;

use aya_ebpf::{
    bindings::xdp_action, btf_maps::ProgramArray, helpers::bpf_get_prandom_u32, macros::btf_map, macros::xdp,
    programs::XdpContext,
};
use core::ptr::read_volatile;
use ntpguard_tests_ebpf::spread;

/// The program that is measured.
#[btf_map]
static NEXT: ProgramArray<1> = ProgramArray::new();

/// The number of sources, from [`spread`]; 0 for random bits instead. The loader sets it.
#[unsafe(no_mangle)]
static SOURCES: u32 = 0;

/// If [`SOURCES`] is 0, the bits of the IPv4 source address that are random.
#[unsafe(no_mangle)]
static RANDOM: u32 = 0;

/// The offset of the IPv4 source address in an untagged frame.
const SOURCE: usize = 14 + 12;

/// Rewrites the source address, and continues with the other program. Checksums are left wrong: no filter verifies
/// them.
#[xdp(frags)]
fn ntpguard(ctx: XdpContext) -> u32 {
    let (data, end) = (ctx.data(), ctx.data_end());
    if data + SOURCE + 4 > end {
        return xdp_action::XDP_ABORTED;
    }
    // SAFETY: these are statics that the loader has set.
    let (sources, mask) = unsafe { (read_volatile(&SOURCES), read_volatile(&RANDOM)) };
    // SAFETY: the helper has no arguments.
    let random = unsafe { bpf_get_prandom_u32() };
    let place = (data + SOURCE) as *mut [u8; 4];
    // SAFETY: it lies before the end.
    unsafe {
        let address = if sources == 0 {
            u32::from_be_bytes(place.read()) & !mask | random & mask
        } else {
            // The high word of the product: each source has the same probability.
            spread::address(((u64::from(random) * u64::from(sources)) >> 32) as u32)
        };
        place.write(address.to_be_bytes());
        NEXT.tail_call(&ctx, 0);
    }
    // Only reached if there is no other program.
    xdp_action::XDP_ABORTED
}
