//! The arguments of global functions: rules, families and ports, packed into numbers.

use ntpguard_common::{abi::Rule, wire::ntp};

/// A bit in an argument of a global function, above 32 bits of something else: the source has an IPv6 address.
pub(crate) const IS_V6: u64 = 1 << 32;

/// A bit in the same place: the source port is 123.
pub(crate) const IS_NTP_PORT: u64 = IS_V6 << 1;

/// [`IS_V6`] if the source has an IPv6 address, else 0.
#[inline(always)]
pub(crate) const fn family(is_v6: bool) -> u64 {
    if is_v6 { IS_V6 } else { 0 }
}

/// [`IS_NTP_PORT`] if it is that port, else 0.
#[inline(always)]
pub(crate) const fn ntp_port(port: u16) -> u64 {
    if port == ntp::PORT { IS_NTP_PORT } else { 0 }
}

/// A rule as a number: its index (upper 32 bits) and flags.
#[inline(always)]
pub(crate) const fn packed(rule: Rule) -> u64 {
    (rule.index as u64) << 32 | rule.flags as u64
}

/// The reverse of [`packed`].
#[inline(always)]
pub(crate) const fn unpacked(word: u64) -> Rule {
    Rule { flags: word as u32, index: (word >> 32) as u32 }
}
