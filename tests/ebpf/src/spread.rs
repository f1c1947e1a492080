//! The networks from which measurements make rules, and the sources from which they send: spread over a quarter of IPv4
//! in an order that no cache or prefetcher can follow. Used by the program that sends and by the code that makes the
//! rules.

/// The maximum number of sources.
pub const MOST: u32 = 1 << 22;
/// 128.0.0.0/2, in which every address may be a source.
const BASE: u32 = 128 << 24;

/// The address of the n-th source: each has a /24 of its own.
#[inline(always)]
pub const fn address(number: u32) -> u32 {
    // Odd factors, and shifts by half the width: each step is a bijection on 22 bits.
    let mut mixed = number.wrapping_mul(0x9e37_79b1) % MOST;
    mixed ^= mixed >> 11;
    mixed = mixed.wrapping_mul(0x85eb_ca6b) % MOST;
    mixed ^= mixed >> 11;
    BASE | mixed << 8 | number.wrapping_mul(0x9d) & 0xff
}

/// The prefix length of the source's rule: three in four are networks, one in four is a host.
#[inline(always)]
pub const fn length(number: u32) -> u8 {
    if number.is_multiple_of(4) { 32 } else { 24 }
}
