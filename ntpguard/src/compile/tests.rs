//! The compiled policy compared with the daemon's own procedure: the first matching entry of its list.

use super::*;
use crate::{
    conf::{Association, ntp},
    daemon::dialect::{Daemon, Dialect},
    policy::network::source,
};
use ntpguard_common::Lookup as _;
use std::{net::IpAddr, path::Path};

/// A linear congruential generator: the same numbers on every run.
struct Random(u32);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 16) % bound
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u32) as usize]
    }

    /// Addresses with few significant bits, so that networks overlap.
    fn address(&mut self, v6: bool) -> IpAddr {
        let bits = [0, 1, 2, 5].map(|byte| byte + self.below(2) as u8);
        if v6 {
            let [a, b, c, d] = bits;
            IpAddr::from([0x20, 1, a, 0, b, 0, 0, 0, 0, 0, c, 0, 0, 0, 0, d])
        } else {
            IpAddr::from([10, bits[1], bits[2], bits[3]])
        }
    }
}

fn line(random: &mut Random) -> String {
    let v6 = random.below(2) == 0;
    let masks: &[&str] = if v6 {
        &["ffff:ff00::", "ffff:ffff:ffff::", "ffff:ff00::ffff", "ffff::ffff:0:0:0", "::ffff", "::", "ffff::"]
    } else {
        &["255.0.0.0", "255.255.0.0", "255.255.255.0", "255.0.0.255", "255.0.255.0", "0.0.0.255", "0.0.0.0"]
    };
    let flags = random.of(&["", "ignore", "noquery", "noserve", "version", "notrust", "noserve noquery"]);
    let port = random.of(&["", "", " ntpport"]);
    let address = random.address(v6);
    match random.below(8) {
        6 => format!("restrict source {flags}{port}\n"),
        7 => format!("server {address}{}\n", random.of(&["", "", " key 5"])),
        0 => format!("restrict {address} {flags}{port}\n"),
        1 => format!("restrict default {flags}{port}\n"),
        _ => format!("restrict {address} mask {} {flags}{port}\n", random.of(masks)),
    }
}

#[test]
fn the_image_decides_as_the_list_does() {
    let mut random = Random(0x6e74_7067);
    let (mut compared, mut by_gap, mut by_source) = (0, 0, 0);
    for number in 0..1500 {
        let text: String = (0..1 + random.below(20)).map(|_| line(&mut random)).collect();
        let dialect = [Dialect::Ntp426, Dialect::Ntp428, Dialect::NtpSec][number % 3];
        let conf = ntp::parse(Path::new("ntp.conf"), text.as_bytes(), Daemon::new(dialect)).unwrap();
        let own = [random.address(false), random.address(true)];
        // For 4.2.6 `source` is a name.
        let unknown = |_: &str| Err(std::io::ErrorKind::NotFound.into());
        let policy = Policy::resolve(&conf, &unknown, &own);
        let image = Image::compile(&policy, &conf, Hardening::NONE);
        // With more non-contiguous masks than fit, the image is more permissive than the list.
        if image.masks.iter().any(|masks| masks.len() == NonContiguousMask::MAX as usize) {
            continue;
        }
        for _ in 0..40 {
            let v6 = random.below(2) == 0;
            let address = random.address(v6);
            let port = random.of(&[123, 40_000]);
            let entry = policy.matching(address, port).unwrap();
            let found = image.rule(0, &source(address), port);
            let yields = found.has(Rule::YIELDS);
            let rule = if yields { image.association(0, &source(address), port, 0x24, found) } else { found };
            let dropping = rule.flags & !(Rule::OWN | Rule::YIELDS | u32::MAX << Rule::MASKS_SHIFT);
            // An association's entry precedes those for networks. NTPsec makes it only where the entry for packets from
            // port 123 would cut the association off. `notrust` doesn't, if the association has a key.
            let asked = policy.matching(address, 123).unwrap();
            let is_of = |line: &Association| line.host.as_deref() == Some(&address.to_string());
            let has_key = conf.associations.iter().any(|line| line.authenticated && is_of(line));
            let breaks = if has_key { Flags::IGNORE } else { Flags::IGNORE.with(Flags::NOTRUST) };
            let is_made = match dialect {
                Dialect::NtpSec => !asked.net.is_host() && asked.flags.has(breaks),
                _ => true,
            };
            let lifted = policy.source.filter(|it| {
                let has_entry = policy.associations.contains(&address) && is_made;
                has_entry && !entry.net.is_host() && !entry.own && (port == 123 || !it.ntpport)
            });
            let wanted = match lifted {
                Some(it) => bits(it.flags, false, &conf),
                None => rule_flags(&entry, &conf, Hardening::NONE),
            };
            let (drops, wanted) = (expanded(dropping), expanded(wanted));
            let shown = format!("{address} port {port}, {dialect}, own {own:?}:\n{text}");
            assert_eq!(drops & !wanted, 0, "never stricter than the daemon: {shown}");
            // An association's packet is dropped if both its entry and that of its network drop it.
            let spared = policy.source.filter(|it| {
                yields && policy.associations.contains(&address) && (port == 123 || !it.ntpport)
            });
            let both = spared.map_or(u32::MAX, |it| expanded(bits(it.flags, false, &conf)));
            let own_flags = expanded(rule_flags(&entry, &conf, Hardening::NONE));
            assert_eq!(drops, own_flags & both, "{shown}");
            if !entry.own {
                assert_eq!(image.rules.get(rule.index as usize).unwrap().net, entry.net);
            }
            compared += 1;
            by_source += usize::from(spared.is_some());
            by_gap += usize::from(entry.net.prefix().is_none());
        }
    }
    assert!(compared > 30_000 && by_gap > 3000 && by_source > 300, "{compared} {by_gap} {by_source}");
}

#[test]
fn gaps_without_a_place_never_lead_to_a_wrong_drop() {
    let masks: String = (1..=20).map(|n| format!("restrict 10.0.0.{n} mask 255.0.0.255\n")).collect();
    let text = format!("restrict default ignore\n{masks}");
    let conf = ntp::parse(Path::new("ntp.conf"), text.as_bytes(), Daemon::new(Dialect::Ntp428)).unwrap();
    let policy = Policy::resolve(&conf, &|_| unreachable!("no names"), &[]);
    let image = Image::compile(&policy, &conf, Hardening::NONE);
    for host in 1..=20 {
        let rule = image.rule(0, &Source::of_v4([10, 7, 7, host]), 40_000);
        assert!(!rule.has(Rule::IGNORE), "10.7.7.{host}");
    }
}

#[test]
fn a_hundred_thousand_lines_compile_in_no_time() {
    let lines = |n: u32| format!("restrict 10.{}.{}.{} noquery\n", n >> 16, n >> 8 & 255, n & 255);
    let text: String = (0..100_000).map(lines).collect();
    let conf = ntp::parse(Path::new("ntp.conf"), text.as_bytes(), Daemon::new(Dialect::Ntp428)).unwrap();
    let start = std::time::Instant::now();
    let policy = Policy::resolve(&conf, &|_| unreachable!("no names"), &[]);
    let image = Image::compile(&policy, &conf, Hardening::ALL);
    println!("100,000 rules: resolved and compiled in {:.0?}", start.elapsed());
    // The ranges for the neighbouring lines, and those around them.
    assert_eq!(image.v4[0].all().len(), 100_002);
}
