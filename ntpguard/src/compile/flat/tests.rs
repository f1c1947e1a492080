//! The words in which the kernel looks up rules, compared with a naive search of all prefixes for the longest match.

use super::*;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use ntpguard_common::{
    Verdict,
    abi::Rules,
    ranges::{of_v4, of_v6},
};
use std::collections::BTreeMap;

/// splitmix64: the same numbers on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn wide(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }
}

/// Prefixes by their first address and length; an IPv4 address is 32 bits.
type Prefixes = BTreeMap<(u128, u8), Rules>;

/// What the tests need to know of an address family.
struct Family {
    bits: u8,
}

const V4: Family = Family { bits: 32 };
const V6: Family = Family { bits: 128 };

impl Family {
    fn last(&self) -> u128 {
        u128::MAX >> (128 - self.bits)
    }

    fn trunc(&self, address: u128, length: u8) -> u128 {
        let host = self.bits - length;
        address & self.last() & u128::MAX.checked_shl(host.into()).unwrap_or(0)
    }

    fn net(&self, address: u128, length: u8) -> IpNet {
        match self.bits {
            32 => Ipv4Net::new((address as u32).into(), length).unwrap().into(),
            _ => Ipv6Net::new(address.into(), length).unwrap().into(),
        }
    }

    /// Adds a prefix, with rules of its own.
    fn add(&self, prefixes: &mut Prefixes, address: u128, length: u8, ntpport: bool) {
        let rule = Rule { flags: length.into(), index: prefixes.len() as u32 };
        let other = Rule { index: if ntpport { rule.index | 1 << 30 } else { rule.index }, ..rule };
        prefixes.insert((self.trunc(address, length), length), Rules { any_port: rule, ntp_port: other });
    }

    fn longest(&self, prefixes: &Prefixes, address: u128) -> Rules {
        let lengths = (0..=self.bits).rev();
        let nothing = Rule { flags: 0, index: Verdict::NO_RULE };
        lengths
            .filter_map(|length| prefixes.get(&(self.trunc(address, length), length)))
            .next()
            .copied()
            .unwrap_or(Rules { any_port: nothing, ntp_port: nothing })
    }

    /// The words for these prefixes in this family and none in the other, and the ranges that they were made from.
    fn flat(&self, prefixes: &Prefixes) -> (Flat, [Ranges<u32>; 2], [Ranges<u128>; 2]) {
        let nets: Vec<_> =
            prefixes.iter().map(|(&(address, length), rules)| (self.net(address, length), *rules)).collect();
        let (v4, v6) =
            (super::super::lists(|| nets.iter().copied()), super::super::lists(|| nets.iter().copied()));
        (Flat::new(&v4, &v6, |rule| rule).unwrap(), v4, v6)
    }

    fn found(&self, flat: &Flat, address: u128, ntp_port: bool) -> Option<Rule> {
        match self.bits {
            32 => of_v4(flat, address as u32, ntp_port),
            _ => of_v6(flat, [(address >> 64) as u64, address as u64], ntp_port),
        }
    }

    /// Compares at both ends of each prefix, next to them on either side, at both ends of the address space, and at
    /// random.
    fn agrees(&self, prefixes: &Prefixes, random: &mut Random) -> usize {
        let (flat, v4, v6) = self.flat(prefixes);
        let mut addresses = vec![0, 1, self.last(), self.last() - 1];
        // Only a sample of a large set, since the naive search is slow.
        for &(address, length) in prefixes.keys().step_by(1 + prefixes.len() / 4000) {
            let last = address | self.last() & !self.trunc(u128::MAX, length);
            addresses.extend([address, address.wrapping_sub(1) & self.last()]);
            addresses.extend([last, last.wrapping_add(1) & self.last()]);
            addresses.push(address ^ (random.wide() & self.last() & 0xff));
        }
        addresses.extend((0..1000).map(|_| random.wide() & self.last()));
        for &address in &addresses {
            let wanted = self.longest(prefixes, address);
            for (ntp_port, wanted) in [(false, wanted.any_port), (true, wanted.ntp_port)] {
                let of_port = usize::from(ntp_port);
                let in_ranges = match self.bits {
                    32 => v4[of_port].rule(address as u32),
                    _ => v6[of_port].rule(address),
                };
                assert_eq!(in_ranges, Some(wanted), "{} bits, {address:x}", self.bits);
                let found = self.found(&flat, address, ntp_port);
                assert_eq!(
                    found,
                    Some(wanted),
                    "{} bits, {address:x}, {} prefixes",
                    self.bits,
                    prefixes.len()
                );
            }
        }
        addresses.len()
    }
}

#[test]
fn no_prefix_and_one() {
    let mut random = Random(1);
    for family in [V4, V6] {
        family.agrees(&Prefixes::new(), &mut random);
        for length in [0, 1, family.bits - 1, family.bits] {
            for address in [0, family.last(), family.last() / 3] {
                let mut prefixes = Prefixes::new();
                family.add(&mut prefixes, address, length, false);
                family.agrees(&prefixes, &mut random);
                family.add(&mut prefixes, 0, 0, true);
                family.agrees(&prefixes, &mut random);
            }
        }
    }
}

/// Nested prefixes at both ends of the address space and in its middle, which make the deepest trees.
#[test]
fn prefixes_within_prefixes() {
    let mut random = Random(2);
    for family in [V4, V6] {
        for towards in [0, family.last(), family.last() / 3, family.last() / 2, family.last() / 2 + 1] {
            let mut prefixes = Prefixes::new();
            for length in 0..=family.bits {
                family.add(&mut prefixes, towards, length, length % 7 == 3);
            }
            family.agrees(&prefixes, &mut random);
            // Many prefixes at the deepest place.
            for near in 0..200 {
                family.add(&mut prefixes, towards ^ near, family.bits, near % 5 == 0);
                family.add(&mut prefixes, towards ^ near << 9, family.bits - 4, false);
            }
            family.agrees(&prefixes, &mut random);
        }
    }
}

#[test]
fn random_policies() {
    let mut random = Random(3);
    let mut compared = 0;
    for round in 0..300 {
        for family in [V4, V6] {
            let mut prefixes = Prefixes::new();
            // The centres around which prefixes gather.
            let centres: Vec<_> = (0..1 + random.below(4)).map(|_| random.wide()).collect();
            let spread = random.below(u64::from(family.bits) + 1) as u8;
            for _ in 0..random.below(if round % 10 == 0 { 3000 } else { 60 }) {
                let centre = centres[random.below(centres.len() as u64) as usize];
                let address = centre ^ random.wide() & !family.trunc(u128::MAX, spread);
                let length = match random.below(3) {
                    0 => family.bits,
                    1 => family.bits / 2 + random.below(u64::from(family.bits) / 2) as u8,
                    _ => random.below(u64::from(family.bits) + 1) as u8,
                };
                family.add(&mut prefixes, address, length, random.below(8) == 0);
            }
            compared += family.agrees(&prefixes, &mut random);
        }
    }
    assert!(compared > 500_000, "{compared}");
}

/// Enough prefixes to fill several chunks: all over the address space, and side by side in one network.
#[test]
fn many_rules_take_many_chunks() {
    let mut random = Random(4);
    for family in [V4, V6] {
        for spread in [0, family.bits - 20] {
            let mut prefixes = Prefixes::new();
            family.add(&mut prefixes, 0, 0, false);
            for _ in 0..250_000 {
                let address = (family.last() / 3) ^ random.wide() & !family.trunc(u128::MAX, spread);
                family.add(&mut prefixes, address, family.bits, false);
            }
            let (flat, ..) = family.flat(&prefixes);
            assert!(flat.far_chunks().len() >= 2, "{}", flat.far_chunks().len());
            family.agrees(&prefixes, &mut random);
        }
    }
}

#[test]
fn few_rules_take_no_far_chunk() {
    let mut random = Random(5);
    for family in [V4, V6] {
        let mut prefixes = Prefixes::new();
        (0..500).for_each(|_| family.add(&mut prefixes, random.wide(), family.bits, false));
        assert_eq!(family.flat(&prefixes).0.far_chunks().len(), 0);
    }
}
