//! The rules in the kernel's tables compared with the same policy on the host, for policies from a few lines up to sizes
//! that need far chunks; all in one program, as after reloads.

use ntpguard::{
    bpf::{Guard, Object, Size},
    compile::{Hardening, Image},
    conf::ntp,
    daemon::dialect::{Daemon, Dialect},
    policy::Policy,
};
use ntpguard_common::{
    Decision, Reason, Verdict,
    abi::{CAUSES, cause},
    decide,
};
use ntpguard_tests::{
    frame::{Frame, payload},
    random::Random,
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

/// Number of packets for each policy.
const PACKETS: usize = 400;

/// Networks all over the address space and inside each other, adjacent hosts, and both ends of the space.
fn network(random: &mut Random, is_v6: bool) -> (IpAddr, u8) {
    let (wide, bits) =
        (u128::from(random.next()) << 64 | u128::from(random.next()), if is_v6 { 128 } else { 32 });
    let length = match random.below(4) {
        0 => random.below(bits + 1),
        1 => bits / 2 + random.below(bits / 2 + 1),
        _ => bits,
    };
    let address = match random.below(8) {
        0 => wide >> 100,
        1 => !(wide >> 100),
        2 | 3 => 0x2001_0db8 << 96 | wide >> 108 << (random.below(3) * 32),
        _ => wide,
    };
    let address = if is_v6 {
        IpAddr::V6(Ipv6Addr::from_bits(address))
    } else {
        IpAddr::V4(Ipv4Addr::from_bits(address as u32))
    };
    (address, length as u8)
}

fn policy(random: &mut Random, lines: usize) -> (String, Vec<IpAddr>) {
    let mut text = "restrict default nomodify\n".to_owned();
    let mut sources = Vec::new();
    for _ in 0..lines {
        let is_v6 = random.below(2) == 0;
        let (address, length) = network(random, is_v6);
        let (first, mask): (IpAddr, IpAddr) = match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                (Ipv4Addr::from_bits(address.to_bits() & mask).into(), Ipv4Addr::from_bits(mask).into())
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                (Ipv6Addr::from_bits(address.to_bits() & mask).into(), Ipv6Addr::from_bits(mask).into())
            }
        };
        let flags = ["ignore", "noserve", "noquery", "notrust", "ignore ntpport", "version"][random.below(6)];
        text.push_str(&format!("restrict {first} mask {mask} {flags}\n"));
        if sources.len() < PACKETS || random.below(lines) < PACKETS {
            sources.push(beside(random, first, mask));
        }
    }
    (text, sources)
}

/// The first or last address of a network, or the one before or after it.
fn beside(random: &mut Random, first: IpAddr, mask: IpAddr) -> IpAddr {
    let way = random.below(4);
    match (first, mask) {
        (IpAddr::V4(first), IpAddr::V4(mask)) => {
            let (first, last) = (first.to_bits(), first.to_bits() | !mask.to_bits());
            Ipv4Addr::from_bits([first, first.wrapping_sub(1), last, last.wrapping_add(1)][way]).into()
        }
        (IpAddr::V6(first), IpAddr::V6(mask)) => {
            let (first, last) = (first.to_bits(), first.to_bits() | !mask.to_bits());
            Ipv6Addr::from_bits([first, first.wrapping_sub(1), last, last.wrapping_add(1)][way]).into()
        }
        _ => first,
    }
}

#[test]
fn kernel_and_host_find_the_same_rule_among_any_number() {
    let mut random = Random::new(0x6e74_7067_7261_6e67);
    let mut guard = Guard::load(Object::Filter, Size { counters: 60_000, sources: 1 }).unwrap();
    let (mut compared, mut hit) = (0, 0);
    for lines in [0, 1, 7, 40, 300, 2000, 12_000, 25_000, 25_000, 60, 0] {
        let (text, sources) = policy(&mut random, lines);
        let conf = ntp::parse(Path::new("ntp.conf"), text.as_bytes(), Daemon::new(Dialect::Ntp428)).unwrap();
        let policy = Policy::resolve(&conf, &|_| unreachable!("no names"), &[]);
        let image = Image::compile(&policy, &conf, Hardening::NONE);
        guard.install(&image).unwrap();
        let mut before = guard.maps.counters(true).unwrap();
        // All hits are read after each packet, and there are as many as rules.
        for source in sources.iter().take(if lines > 5000 { PACKETS / 4 } else { PACKETS }) {
            let port = [123, 40_000][random.below(2)];
            let frame = Frame::from(&source.to_string(), port)
                .payload(&payload::time(3, 3 + random.below(2) as u8))
                .build();
            let Decision::Judged(wanted) = decide(frame.as_slice(), &image) else { panic!("{source}") };
            let run = guard.test_run(&frame, 1, None).unwrap();
            assert_eq!(run.action, wanted.action(), "{source} port {port}, {lines} lines");
            let now = guard.maps.counters(true).unwrap();
            let counted = now.since(&before);
            before = now;
            assert_eq!(
                counted.of(wanted.reason).packets,
                1,
                "{source} port {port}, {lines} lines: {wanted:?}"
            );
            let rules = counted.done.hits.iter().enumerate().filter(|(_, hits)| hits.packets > 0);
            let rules: Vec<_> = rules.map(|(place, _)| place / CAUSES.len()).collect();
            // Some sources are impossible, whatever the rules say.
            let caused = cause(wanted.reason)
                .filter(|_| wanted.rule != Verdict::NO_RULE)
                .map(|_| wanted.rule as usize);
            assert_eq!(rules, caused.into_iter().collect::<Vec<_>>(), "{source} port {port}, {lines} lines");
            compared += 1;
            hit += usize::from(wanted.reason != Reason::Time && caused.is_some());
        }
    }
    println!("{compared} packets: {hit} dropped by a rule, the same one in the kernel and on the host");
    assert!(compared > 1000 && hit > 300);
}
