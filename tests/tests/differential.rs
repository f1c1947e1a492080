//! Random configurations and packets in front of a live NTPsec: what it answers without the filter it also answers behind
//! it, and what its lines refuse never reaches it.

use nix::sys::signal::Signal;
use ntpguard_tests::{
    client::{Probe, answered},
    frame::{SERVER_V4, SERVER_V6},
    guard::Guarding,
    netns::Lab,
    ntpd::Ntpd,
    random::Random,
};
use std::{fs, net::IpAddr};

const CONFIGURATIONS: usize = 6;
const PROBES: usize = 250;

/// The sources; every network below contains some of them.
const SOURCES: [&str; 8] = [
    "192.0.2.2",
    "198.51.100.5",
    "198.51.100.130",
    "10.0.0.5",
    "10.1.2.5",
    "10.1.2.6",
    "2001:db8::2",
    "2001:db8:51::5",
];

const NETWORKS: [&str; 14] = [
    "default",
    "-4 default",
    "-6 default",
    "198.51.100.0 mask 255.255.255.0",
    "198.51.100.128/25",
    "198.51.100.5",
    "10.0.0.0/8",
    "10.0.0.5 mask 255.0.0.255",
    "10.1.0.0 mask 255.255.0.0",
    "10.1.2.6",
    "2001:db8::/32",
    "2001:db8:51::/48",
    "2001:db8::5 mask ffff:ffff::ffff",
    "-4 198.51.100.5 mask 255.255.255.0",
];

const FLAGS: [&str; 12] = [
    "ignore",
    "noquery",
    "noserve",
    "notrust",
    "version",
    "nomodify",
    "nopeer",
    "notrap",
    "ntpport",
    "nomrulist",
    "bogus",
    "IGNORE",
];

/// Lines that exclude the daemon's limiter and the lab's own ntpq from the test.
const FIXED: &str = "\
limit average 10000 burst 10000
unrestrict default limited
restrict 127.0.0.1
restrict ::1
";

fn configuration(random: &mut Random) -> String {
    let mut text = FIXED.to_owned();
    if random.below(2) == 0 {
        text.push_str("unrestrict default noquery\n");
    }
    for _ in 0..1 + random.below(8) {
        let verb = if random.below(8) == 0 { "unrestrict" } else { "restrict" };
        let network = NETWORKS[random.below(NETWORKS.len())];
        let flags: Vec<_> = (0..random.below(4)).map(|_| FLAGS[random.below(FLAGS.len())]).collect();
        text.push_str(&format!("{verb} {network} {}\n", flags.join(" ")));
    }
    text
}

fn probe(random: &mut Random) -> Probe {
    let source = SOURCES[random.below(SOURCES.len())].parse().unwrap();
    let mode = [3, 3, 3, 3, 3, 6, 6, 6, 7, 0, 1, 2, 4, 5][random.below(14)];
    let version = [4, 4, 4, 4, 4, 3, 3, 2, 1, 0, 5][random.below(11)];
    let lengths = [48, 48, 48, 48, 48, 48, 12, 47, 52, 54, 56, 68, 72, 76, 120];
    let length =
        if mode >= 6 { [8, 12, 12, 16, 48][random.below(5)] } else { lengths[random.below(lengths.len())] };
    let mut payload = vec![0; length];
    payload[0] = version << 3 | mode;
    payload[1] = if mode == 6 { [1, 2, 2, 12, 0x82][random.below(5)] } else { 0 };
    if mode == 3 && length >= 48 {
        payload[40..48].fill(7); // a transmit timestamp
    }
    Probe { from: source, port: if random.below(8) == 0 { 123 } else { 0 }, payload }
}

#[test]
fn the_guard_changes_nothing_that_a_live_ntpsec_answers() {
    let lab = Lab::new().unwrap();
    for address in SOURCES.iter().filter(|address| !["192.0.2.2", "2001:db8::2"].contains(address)) {
        lab.address(address).unwrap();
    }
    let to: [IpAddr; 2] = [SERVER_V4.parse().unwrap(), SERVER_V6.parse().unwrap()];
    let mut random = Random::new(0x6e74_7073_6563);
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("ntp.conf");
    let (mut served, mut refused) = (0, 0);
    for _ in 0..CONFIGURATIONS {
        let text = configuration(&mut random);
        let probes: Vec<_> = (0..PROBES).map(|_| probe(&mut random)).collect();
        fs::write(&path, &text).unwrap();
        let daemon = Ntpd::start(&lab.server, &text).unwrap();
        let restricted = || daemon.sysstat("restricted").unwrap();

        let start = restricted();
        let bare = answered(&lab.outside, &probes, to).unwrap();
        let between = restricted();
        let guard = Guarding::start(&lab.server, &path, &["--no-hardening"]).unwrap();
        let guarded = answered(&lab.outside, &probes, to).unwrap();
        let ended = guard.end(Signal::SIGTERM).unwrap();
        let after = restricted();

        for ((probe, bare), guarded) in probes.iter().zip(&bare).zip(&guarded) {
            assert_eq!(guarded, bare, "{probe:02x?}, by\n{text}\n{}", ended.errors);
        }
        assert_eq!(after, between, "something that the daemon refuses got through, by\n{text}");
        served += bare.iter().filter(|answered| **answered).count();
        refused += between - start;
    }
    println!(
        "{CONFIGURATIONS} configurations, {PROBES} packets each, twice: {served} answered with and without the guard; \
         the daemon refused {refused} without it, 0 behind it"
    );
    assert!(served > 100 && refused > 100);
}
