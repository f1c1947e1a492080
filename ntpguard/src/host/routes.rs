//! Finds the interfaces with a default route in the kernel's routing tables (main, of both address families).

use std::fs;

/// include/uapi/linux/route.h: the destination is unreachable.
const RTF_REJECT: u32 = 0x200;

/// The names of the interfaces with a default route, each once.
pub fn defaults() -> Vec<String> {
    // Without IPv6 the kernel has no such file, and a table that can't be read shows no default route.
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    of(&read("/proc/thread-self/net/route"), &read("/proc/thread-self/net/ipv6_route"))
}

fn of(v4: &str, v6: &str) -> Vec<String> {
    // net/ipv4/fib_trie.c:fib_route_seq_show and net/ipv6/ip6_fib.c:ipv6_route_native_seq_show.
    let v4 = v4.lines().skip(1).map(|line| Route::read(line, [0, 1, 3, 7], "00000000"));
    let v6 = v6.lines().map(|line| Route::read(line, [9, 0, 8, 1], "00"));
    let mut names: Vec<String> = Vec::new();
    for route in v4.chain(v6).flatten() {
        let leads = route.is_default && route.flags & RTF_REJECT == 0;
        if leads && !names.iter().any(|name| name == route.interface) {
            names.push(route.interface.to_owned());
        }
    }
    names
}

struct Route<'a> {
    interface: &'a str,
    is_default: bool,
    flags: u32,
}

impl<'a> Route<'a> {
    /// Parses a line, given its columns of interface, destination, flags, and mask or prefix length; `all` is the mask
    /// or length of a default route.
    fn read(line: &'a str, [interface, destination, flags, length]: [usize; 4], all: &str) -> Option<Self> {
        let columns: Vec<_> = line.split_whitespace().collect();
        let flags = u32::from_str_radix(columns.get(flags)?, 16).ok()?;
        let is_default =
            columns.get(destination)?.bytes().all(|digit| digit == b'0') && *columns.get(length)? == all;
        Some(Self { interface: columns.get(interface)?, is_default, flags })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: &str = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0
eth1\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
*\t00000000\t00000000\t0201\t0\t0\t9\t00000000\t0\t0\t0
";

    const V6: &str = "\
20010db8000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth1
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth2
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
";

    #[test]
    fn default_routes_that_lead_somewhere() {
        assert_eq!(of(V4, ""), ["eth0"]);
        assert_eq!(of(V4, V6), ["eth0", "eth2"]);
        assert_eq!(of("", "\n\nabc\n"), [""; 0]);
    }
}
