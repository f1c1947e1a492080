//! A network in ntpd's sense: an address and a mask, which need not be a prefix.

use crate::daemon::family::Family;
use ipnet::IpNet;
use ntpguard_common::Source;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// An address and a mask of one family. Address bits outside the mask are zero (ntp_restrict.c:hack_restrict).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Net {
    address: IpAddr,
    mask: IpAddr,
}

impl Net {
    /// The network of an address. A mask of the other family is read as 0, since in the daemons' memory it isn't where
    /// they look for one of this family (ntp_config.c:config_access).
    pub fn new(address: IpAddr, mask: IpAddr) -> Self {
        match (address, mask) {
            (IpAddr::V4(a), IpAddr::V4(m)) => Self { address: (a & m).into(), mask },
            (IpAddr::V6(a), IpAddr::V6(m)) => Self { address: (a & m).into(), mask },
            _ => Self::everything(Family::of(address)),
        }
    }

    /// The network of a single host.
    pub const fn host(address: IpAddr) -> Self {
        let mask = match address {
            IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::BROADCAST),
            IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::from_bits(u128::MAX)),
        };
        Self { address, mask }
    }

    /// The network of all hosts of a family.
    pub const fn everything(family: Family) -> Self {
        let zero = match family {
            Family::V4 => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
            Family::V6 => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
        };
        Self { address: zero, mask: zero }
    }

    /// Its address.
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// Its mask.
    pub const fn mask(self) -> IpAddr {
        self.mask
    }

    /// Its family.
    pub const fn family(self) -> Family {
        Family::of(self.address)
    }

    /// Whether it is a single host.
    pub fn is_host(self) -> bool {
        self == Self::host(self.address)
    }

    /// Whether it is all hosts of its family.
    pub fn is_everything(self) -> bool {
        self == Self::everything(self.family())
    }

    /// The network as a prefix; `None` if its mask is non-contiguous.
    pub fn prefix(self) -> Option<IpNet> {
        let length = ipnet::ip_mask_to_prefix(self.mask).ok()?;
        // A mask's length is never greater than its family's width.
        Some(IpNet::new_assert(self.address, length))
    }

    /// Whether it contains an address.
    pub fn contains(self, address: IpAddr) -> bool {
        Family::of(address) == self.family() && Self::new(address, self.mask) == self
    }

    /// Whether the two share an address.
    pub fn overlaps(self, other: Self) -> bool {
        self.family() == other.family()
            && Self::new(self.address, other.mask).address == Self::new(other.address, self.mask).address
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix() {
            Some(prefix) => prefix.fmt(f),
            None => write!(f, "{} mask {}", self.address, self.mask),
        }
    }
}

/// An address in the packet path's form.
pub fn source(address: IpAddr) -> Source {
    match address {
        IpAddr::V4(address) => Source::V4(address.to_bits()),
        IpAddr::V6(address) => Source::of_v6(address.octets()),
    }
}

/// The reverse of [`source`].
pub fn address(source: &Source) -> IpAddr {
    match *source {
        Source::V4(address) => Ipv4Addr::from_bits(address).into(),
        Source::V6([high, low]) => Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(address: &str, mask: &str) -> Net {
        Net::new(address.parse().unwrap(), mask.parse().unwrap())
    }

    #[test]
    fn masks_with_and_without_gaps() {
        let lan = net("192.0.2.77", "255.255.255.0");
        assert_eq!(lan.to_string(), "192.0.2.0/24");
        let gap = net("10.9.9.5", "255.0.0.255");
        assert_eq!(gap.to_string(), "10.0.0.5 mask 255.0.0.255");
        assert!(gap.contains("10.1.2.5".parse().unwrap()) && !gap.contains("10.1.2.6".parse().unwrap()));
        assert!(gap.overlaps(net("10.1.0.0", "255.255.0.0")) && !gap.overlaps(lan));
        assert!(!gap.overlaps(net("10.1.2.6", "255.255.255.255")));
        assert!(!lan.contains("::1".parse().unwrap()));
        assert!(Net::host("::1".parse().unwrap()).is_host() && net("::", "::").is_everything());
    }
}
