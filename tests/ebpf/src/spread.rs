//! Which networks measurements make rules of, and so which sources they send from: spread over a quarter of IPv4 in no
//! order that a cache or a prefetcher could follow. For the program that sends, and for those who make the rules.

/// So many there are.
pub const MOST: u32 = 1 << 22;
/// In 128.0.0.0/2, where every source may be.
const BASE: u32 = 128 << 24;

/// The address of the n-th source: each has a /24 of its own.
#[inline(always)]
pub const fn address(number: u32) -> u32 {
    // Odd factors and shifts by half: every step is a bijection on 22 bits.
    let mut mixed = number.wrapping_mul(0x9e37_79b1) % MOST;
    mixed ^= mixed >> 11;
    mixed = mixed.wrapping_mul(0x85eb_ca6b) % MOST;
    mixed ^= mixed >> 11;
    BASE | mixed << 8 | number.wrapping_mul(0x9d) & 0xff
}

/// The length of its rule's prefix: three networks to one host.
#[inline(always)]
pub const fn length(number: u32) -> u8 {
    if number.is_multiple_of(4) { 32 } else { 24 }
}
