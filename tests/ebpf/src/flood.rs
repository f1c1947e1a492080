//! A flood for measurements: sends each frame out of an interface with another source address. Run with live frames
//! (BPF_PROG_TEST_RUN), never attached.
#![no_std]
#![no_main]

#[path = "../../../ntpguard-ebpf/src/runtime.rs"]
mod runtime;

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::PerCpuArray,
    helpers::{bpf_get_prandom_u32, bpf_ktime_get_ns, bpf_redirect},
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use core::ptr::read_volatile;

/// The index of the interface to send from; the loader sets it.
#[unsafe(no_mangle)]
static INTERFACE: u32 = 0;

/// The bits of the IPv4 source address that are random; the loader sets it.
#[unsafe(no_mangle)]
static RANDOM: u32 = 0;

/// Nanoseconds between two frames; 0 for as many frames as possible. The loader sets it.
#[unsafe(no_mangle)]
static INTERVAL: u32 = 0;

/// When the next frame is due, and how many have been sent.
#[btf_map]
static PACE: PerCpuArray<[u64; 2], 1> = PerCpuArray::new();

/// How far back, in nanoseconds, frames are made up for that weren't sent in time because the machine was busy.
const BEHIND: u64 = 1_000_000;

/// The offsets of the IPv4 identification and source address in an untagged frame.
const IDENTIFICATION: usize = 14 + 4;
const SOURCE: usize = 14 + 12;

/// Sends the frame. It must have no UDP checksum, 0xffff as identification, and zeros for the random bits.
#[xdp]
fn ntpguard(ctx: XdpContext) -> u32 {
    let (data, end) = (ctx.data(), ctx.data_end());
    if data + SOURCE + 4 > end {
        return xdp_action::XDP_ABORTED;
    }
    if !is_due() {
        // Returns the frame to the test run.
        return xdp_action::XDP_DROP;
    }
    // SAFETY: these are statics that the loader has set.
    let (interface, mask) = unsafe { (read_volatile(&INTERFACE), read_volatile(&RANDOM)) };
    // SAFETY: the helper has no arguments.
    let random = unsafe { bpf_get_prandom_u32() } & mask;
    // The identification compensates for what the address adds to the checksum (RFC 1624).
    let sum = (random >> 16) + (random & 0xffff);
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    // The fixed bits are kept, since the same frame is sent again and again.
    // SAFETY: both lie before the end.
    unsafe {
        let source = ((data + SOURCE) as *mut [u8; 4]).read();
        let fixed = u32::from_be_bytes(source) & !mask;
        ((data + SOURCE) as *mut [u8; 4]).write((fixed | random).to_be_bytes());
        ((data + IDENTIFICATION) as *mut [u8; 2]).write(sum.to_be_bytes());
        bpf_redirect(interface, 0) as u32
    }
}

/// Whether a frame is due now; if so, it is counted.
#[inline(always)]
fn is_due() -> bool {
    let Some(pace) = PACE.get_ptr_mut(0) else { return false };
    // SAFETY: a static that the loader has set, and this CPU's own value.
    unsafe {
        let interval = u64::from(read_volatile(&INTERVAL));
        if interval != 0 {
            let now = bpf_ktime_get_ns();
            if now < (*pace)[0] {
                return false;
            }
            (*pace)[0] = (*pace)[0].max(now.saturating_sub(BEHIND)) + interval;
        }
        (*pace)[1] += 1;
    }
    true
}
