//! Whom a restrict line speaks of: addresses as the daemons read them, and their families.

use std::net::IpAddr;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// Whom a line speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `default`: everyone without a line.
    Default,
    /// `source`: the hosts of all associations.
    Source,
    /// An address; with a mask a network.
    Address(IpAddr),
    /// A host name, with an entry for its addresses.
    Name(Box<str>),
}

pub(super) fn named(text: &str) -> Target {
    literal(text).map_or_else(|| Target::Name(text.into()), Target::Address)
}

/// An address as the daemons take it (ntp_net.c:is_ip_address): IPv4 as it is, IPv6 up to a closing bracket if it
/// begins with one, and without its scope.
pub(super) fn literal(text: &str) -> Option<IpAddr> {
    let inner = match text.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => text,
    };
    let v6 = inner.split('%').next().and_then(|text| text.parse().ok());
    text.parse().ok().map(IpAddr::V4).or(v6.map(IpAddr::V6))
}

/// As strtol(3) reads it: a sign, digits, and what follows is ignored; no digits are 0. Out of range is 0 too, since
/// NTPsec takes both for a host (ntp_config.c:fix_node_cidr).
pub(super) fn leading_number(text: &str) -> u8 {
    let text = text.strip_prefix('+').unwrap_or(text);
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().unwrap_or(0)
}

/// The mask of a prefix length; none, which means a host, for 0 and lengths past the address's end.
pub(super) fn prefix_mask(address: IpAddr, length: u8) -> Option<IpAddr> {
    match address {
        IpAddr::V4(_) if (1..=32).contains(&length) => Some(IpAddr::V4((u32::MAX << (32 - length)).into())),
        IpAddr::V6(_) if (1..=128).contains(&length) => {
            Some(IpAddr::V6((u128::MAX << (128 - length)).into()))
        }
        _ => None,
    }
}
