//! The target of a restrict line: addresses as the daemons read them, and masks.

use crate::conf::Target;
use std::net::{IpAddr, Ipv4Addr};

/// The word after `mask`.
pub(super) enum Mask {
    /// An address.
    Is(IpAddr),
    /// A host name, whose first address 4.2.6 takes.
    Named(Box<str>),
}

pub(super) fn named(text: &str) -> Target {
    literal(text).map_or_else(|| Target::Name(text.into()), Target::Address)
}

/// An address as the daemons read it (ntp_net.c:is_ip_address): IPv4 as it is; IPv6 without its scope, and up to the
/// closing bracket if it begins with a bracket.
pub(super) fn literal(text: &str) -> Option<IpAddr> {
    let inner = match text.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => text,
    };
    let v6 = inner.split('%').next().and_then(|text| text.parse().ok());
    text.parse().ok().map(IpAddr::V4).or(v6.map(IpAddr::V6))
}

/// An IPv4 address in any spelling of inet_aton(3), as getaddrinfo(3) accepts it: one to four parts, each decimal,
/// octal after `0` or hexadecimal after `0x`; the last one fills the remaining bytes. `255.255.255` is 255.255.0.255.
pub(super) fn inet_aton(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u32> = text.split('.').map(aton_part).collect::<Option<_>>()?;
    let (last, first) = parts.split_last()?;
    let bytes_left = 4_u32.checked_sub(first.len() as u32).filter(|bytes| *bytes > 0)?;
    let mut address = u64::from(*last);
    if address >> (8 * bytes_left) != 0 || first.iter().any(|part| *part > 255) {
        return None;
    }
    for (part, shift) in first.iter().zip([24, 16, 8]) {
        address |= u64::from(*part) << shift;
    }
    u32::try_from(address).ok().map(Ipv4Addr::from)
}

/// One part, as strtoul(3) reads it with base 0, but without a sign.
fn aton_part(text: &str) -> Option<u32> {
    let hexadecimal = text.strip_prefix("0x").or(text.strip_prefix("0X"));
    let (digits, radix) = match hexadecimal {
        Some(digits) => (digits, 16),
        None if text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    if digits.starts_with('+') { None } else { u32::from_str_radix(digits, radix).ok() }
}

/// A number as strtol(3) reads it: a sign and digits; what follows is ignored, and no digits are 0. Out of range gives
/// 0 as well, since NTPsec reads both as a host (ntp_config.c:fix_node_cidr).
pub(super) fn leading_number(text: &str) -> u8 {
    let text = text.strip_prefix('+').unwrap_or(text);
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().unwrap_or(0)
}

/// The mask of a prefix length; `None`, which means a single host, for 0 and for lengths beyond the address's.
pub(super) fn prefix_mask(address: IpAddr, length: u8) -> Option<IpAddr> {
    match address {
        IpAddr::V4(_) if (1..=32).contains(&length) => Some(IpAddr::V4((u32::MAX << (32 - length)).into())),
        IpAddr::V6(_) if (1..=128).contains(&length) => {
            Some(IpAddr::V6((u128::MAX << (128 - length)).into()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What glibc's inet_aton(3) and getaddrinfo(3) read each as; measured.
    #[test]
    fn spellings_of_an_address() {
        for (text, address) in [
            ("0xffffff00", "255.255.255.0"),
            ("0XFFFFFF00", "255.255.255.0"),
            ("037777777400", "255.255.255.0"),
            ("4294967040", "255.255.255.0"),
            ("255.255.255", "255.255.0.255"),
            ("255.0x255", "255.0.2.85"),
            ("255.16776960", "255.255.255.0"),
            ("0377.0377.0377.0", "255.255.255.0"),
            ("0xff.0xff.0xff.0x0", "255.255.255.0"),
            ("255.255.65280", "255.255.255.0"),
            ("255.255.255.00", "255.255.255.0"),
            ("0", "0.0.0.0"),
        ] {
            assert_eq!(inet_aton(text), Some(address.parse().unwrap()), "{text}");
        }
        for text in [
            "",
            ".",
            "255.",
            ".255",
            "256.0.0.0",
            "255.256.0",
            "255.16777216",
            "4294967296",
            "1.2.3.4.5",
            "08",
            "0x",
            "0xg",
            "+1",
            "-1",
            "0x+1",
            "0+1",
            "1.2.3.256",
            "255.255.255.O",
            "1 ",
            "fe80::",
        ] {
            assert_eq!(inet_aton(text), None, "{text}");
        }
    }
}
