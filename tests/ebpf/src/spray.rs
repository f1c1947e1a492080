//! Another source for each frame, and then another program: what that one costs while sources change. For
//! BPF_PROG_TEST_RUN, never attached.
//!
//! The frame of a test run is the same one for all of its repeats, so what is written here is what the program sees.
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

/// How many sources of [`spread`]; 0 for random bits instead. The loader sets it.
#[unsafe(no_mangle)]
static SOURCES: u32 = 0;

/// The bits of the IPv4 source address that are random, if it isn't one of these.
#[unsafe(no_mangle)]
static RANDOM: u32 = 0;

/// Where an untagged frame has the IPv4 source address.
const SOURCE: usize = 14 + 12;

/// Rewrites the source, and goes on as the other program. Checksums stay as they were: no filter looks at them.
#[xdp(frags)]
fn ntpguard(ctx: XdpContext) -> u32 {
    let (data, end) = (ctx.data(), ctx.data_end());
    if data + SOURCE + 4 > end {
        return xdp_action::XDP_ABORTED;
    }
    // SAFETY: statics that the loader has set.
    let (sources, mask) = unsafe { (read_volatile(&SOURCES), read_volatile(&RANDOM)) };
    // SAFETY: no arguments.
    let random = unsafe { bpf_get_prandom_u32() };
    let place = (data + SOURCE) as *mut [u8; 4];
    // SAFETY: it lies before the end.
    unsafe {
        let address = if sources == 0 {
            u32::from_be_bytes(place.read()) & !mask | random & mask
        } else {
            // As many of each: the high word of a product.
            spread::address(((u64::from(random) * u64::from(sources)) >> 32) as u32)
        };
        place.write(address.to_be_bytes());
        NEXT.tail_call(&ctx, 0);
    }
    // There is no other program.
    xdp_action::XDP_ABORTED
}
