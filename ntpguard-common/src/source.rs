//! Source addresses, and those that no packet from a wire can have.

/// The source address of a datagram, in network byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An IPv4 address.
    V4([u8; 4]),
    /// An IPv6 address.
    V6([u8; 16]),
}

impl Source {
    /// Whether no host can have sent from this address over a wire.
    ///
    /// - loopback, 127/8 and `::1` (RFC 1122 §3.2.1.3 g, RFC 4291 §2.5.3): spoofed to pass `restrict 127.0.0.1`
    ///   (CVE-2014-9297, CVE-2014-9298);
    /// - unspecified: 0.0.0.0 (RFC 1122 §3.2.1.3 a) and `::`;
    /// - multicast, 224/4 and ff00::/8: the daemons ignore it before any rule (ntp_restrict.c:restrictions);
    /// - the limited broadcast address;
    /// - IPv4-mapped IPv6: Linux delivers it, but the daemons' sockets are IPv6-only and can't answer it.
    #[inline(always)]
    pub fn is_impossible(&self) -> bool {
        match *self {
            Self::V4([a, b, c, d]) => {
                matches!(a, 127 | 224..=239) || (a & b & c & d) == 255 || (a | b | c | d) == 0
            }
            Self::V6(address) => {
                let [high, low] = halves(address);
                let in_low_64 = high == 0 && (low <= 1 || low >> 32 == 0xffff);
                in_low_64 || address[0] == 0xff
            }
        }
    }

    /// 224/4 or ff00::/8.
    #[inline(always)]
    pub const fn is_multicast(&self) -> bool {
        match *self {
            Self::V4([first, ..]) => first >> 4 == 0xe,
            Self::V6([first, ..]) => first == 0xff,
        }
    }

    /// `::1`.
    #[inline(always)]
    pub fn is_loopback_v6(&self) -> bool {
        matches!(*self, Self::V6(address) if halves(address) == [0, 1])
    }
}

/// The two 64-bit halves of an IPv6 address: the BPF target has no 128-bit registers.
#[inline(always)]
pub(crate) fn halves(address: [u8; 16]) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = address;
    [u64::from_be_bytes([a, b, c, d, e, f, g, h]), u64::from_be_bytes([i, j, k, l, m, n, o, p])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn impossible(text: &str) -> bool {
        match text.parse().unwrap() {
            IpAddr::V4(a) => Source::V4(a.octets()).is_impossible(),
            IpAddr::V6(a) => Source::V6(a.octets()).is_impossible(),
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
