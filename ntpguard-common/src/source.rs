//! Source addresses, and which of them no packet received from a network can legitimately have.

/// The source address of a datagram, as a number in host byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An IPv4 address.
    V4(u32),
    /// An IPv6 address as its upper and lower 64 bits: the BPF target has no 128-bit registers.
    V6([u64; 2]),
}

impl Source {
    /// From the bytes of an IPv4 address.
    #[inline(always)]
    pub const fn of_v4(address: [u8; 4]) -> Self {
        Self::V4(u32::from_be_bytes(address))
    }

    /// From the bytes of an IPv6 address.
    #[inline(always)]
    pub const fn of_v6(address: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = address;
        Self::V6([u64::from_be_bytes([a, b, c, d, e, f, g, h]), u64::from_be_bytes([i, j, k, l, m, n, o, p])])
    }

    /// The two halves of an IPv6 address, or 0 and an IPv4 address.
    #[inline(always)]
    pub const fn halves(&self) -> [u64; 2] {
        match *self {
            Self::V4(address) => [0, address as u64],
            Self::V6(halves) => halves,
        }
    }

    /// Whether it is an IPv6 address.
    #[inline(always)]
    pub const fn is_v6(&self) -> bool {
        matches!(self, Self::V6(_))
    }

    /// Whether no host can legitimately send from this address over a network.
    ///
    /// - loopback, 127/8 and `::1` (RFC 1122 §3.2.1.3 g, RFC 4291 §2.5.3): spoofed to match `restrict 127.0.0.1`
    ///   (CVE-2014-9297, CVE-2014-9298);
    /// - unspecified: 0.0.0.0 (RFC 1122 §3.2.1.3 a) and `::`;
    /// - multicast, 224/4 and ff00::/8: the daemons ignore it before any rule (ntp_restrict.c:restrictions);
    /// - the limited broadcast address;
    /// - IPv4-mapped IPv6 addresses: Linux delivers such packets, but the daemons' sockets are IPv6-only and can't
    ///   answer them.
    #[inline(always)]
    pub const fn is_impossible(&self) -> bool {
        match *self {
            // Nearly all addresses begin with 1 to 223: this costs them one comparison.
            Self::V4(address) => match address >> 24 {
                127 => true,
                1..=223 => false,
                _ => self.is_multicast() || address == 0 || address == u32::MAX,
            },
            Self::V6([high, low]) => {
                let in_low_64 = high == 0 && (low <= 1 || low >> 32 == 0xffff);
                in_low_64 || self.is_multicast()
            }
        }
    }

    /// Whether it is a multicast address: 224/4 or ff00::/8.
    #[inline(always)]
    pub const fn is_multicast(&self) -> bool {
        match *self {
            Self::V4(address) => address >> 28 == 0xe,
            Self::V6([high, _]) => high >> 56 == 0xff,
        }
    }

    /// Whether it is `::1`.
    #[inline(always)]
    pub const fn is_loopback_v6(&self) -> bool {
        matches!(*self, Self::V6([0, 1]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn impossible(text: &str) -> bool {
        match text.parse().unwrap() {
            IpAddr::V4(a) => Source::of_v4(a.octets()).is_impossible(),
            IpAddr::V6(a) => Source::of_v6(a.octets()).is_impossible(),
        }
    }

    #[test]
    fn sources_that_cannot_be() {
        for text in ["127.0.0.1", "127.255.255.255", "0.0.0.0", "224.0.1.1", "239.255.255.255"] {
            assert!(impossible(text), "{text}");
        }
        for text in ["255.255.255.255", "::", "::1", "ff02::101", "::ffff:192.0.2.1"] {
            assert!(impossible(text), "{text}");
        }
    }

    #[test]
    fn sources_that_can() {
        for text in ["126.255.255.255", "128.0.0.1", "0.0.0.1", "1.0.0.0", "223.255.255.255", "240.0.0.1"] {
            assert!(!impossible(text), "{text}");
        }
        for text in ["255.255.255.254", "::2", "::fffe:c000:201", "1::1", "fe80::1", "64:ff9b::c000:201"] {
            assert!(!impossible(text), "{text}");
        }
    }
}
