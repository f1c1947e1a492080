//! A flood for measurements: each frame goes out of an interface with another source address. Run with live frames
//! (BPF_PROG_TEST_RUN), never attached.
#![no_std]
#![no_main]

mod runtime;

use aya_ebpf::{
    helpers::{bpf_get_prandom_u32, bpf_redirect},
    macros::xdp,
    programs::XdpContext,
};
use core::ptr::read_volatile;

/// Which interface; the loader sets it.
#[unsafe(no_mangle)]
static INTERFACE: u32 = 0;

/// The bits of the IPv4 source address that are random.
#[unsafe(no_mangle)]
static RANDOM: u32 = 0;

/// Where an untagged frame has the IPv4 identification, and the source address.
const IDENTIFICATION: usize = 14 + 4;
const SOURCE: usize = 14 + 12;

/// Sends. The frame has no UDP checksum, 0xffff as identification and zeros for the random bits.
#[xdp]
fn ntpguard(ctx: XdpContext) -> u32 {
    let (data, end) = (ctx.data(), ctx.data_end());
    if data + SOURCE + 4 > end {
        return aya_ebpf::bindings::xdp_action::XDP_ABORTED;
    }
    // SAFETY: statics that the loader has set.
    let (interface, mask) = unsafe { (read_volatile(&INTERFACE), read_volatile(&RANDOM)) };
    // SAFETY: no arguments.
    let random = unsafe { bpf_get_prandom_u32() } & mask;
    // What the address adds to the checksum, the identification takes away (RFC 1624).
    let sum = (random >> 16) + (random & 0xffff);
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    // A frame goes out again and again: the fixed bits stay as they are.
    // SAFETY: both lie before the end.
    unsafe {
        let source = ((data + SOURCE) as *mut [u8; 4]).read();
        let fixed = u32::from_be_bytes(source) & !mask;
        ((data + SOURCE) as *mut [u8; 4]).write((fixed | random).to_be_bytes());
        ((data + IDENTIFICATION) as *mut [u8; 2]).write(sum.to_be_bytes());
        bpf_redirect(interface, 0) as u32
    }
}
