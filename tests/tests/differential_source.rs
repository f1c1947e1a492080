//! Random configurations with `restrict source` in front of a live NTPsec, and random packets from its servers and from
//! others: what it answers or takes without the filter, it also answers or takes behind it, and what its access list
//! refuses never reaches it.
//!
//! `PACKETS=10000 SEED=7 cargo test -p ntpguard-tests --test differential_source` sends more packets, and different ones.

use nix::sys::signal::Signal;
use ntpguard_tests::{
    client::{Probe, answered},
    following::wait_for,
    frame::{SERVER_V4, SERVER_V6},
    guard::Guarding,
    netns::Lab,
    ntpd::Ntpd,
    random::{Random, from_environment},
};
use std::{collections::BTreeMap, fs, net::IpAddr, path::Path};

/// Number of packets in front of each configuration.
const PROBES: usize = 250;
/// How often a packet is sent again whose answer may have come too late.
const RETRIES: usize = 3;

/// The addresses of the outside host; some of them are the daemon's servers.
const SOURCES: [&str; 12] = [
    "192.0.2.2",
    "198.51.100.5",
    "198.51.100.6",
    "198.51.100.130",
    "198.51.100.131",
    "10.0.0.5",
    "10.1.2.5",
    "10.1.2.6",
    "2001:db8::2",
    "2001:db8:51::5",
    "2001:db8:51::6",
    "2001:db8:52::5",
];

const NETWORKS: [&str; 10] = [
    "default",
    "default",
    "-4 default",
    "-6 default",
    "198.51.100.0 mask 255.255.255.0",
    "198.51.100.128/25",
    "198.51.100.5",
    "10.0.0.5 mask 255.0.0.255",
    "2001:db8:51::/48",
    "10.1.2.6",
];

const FLAGS: [&str; 9] =
    ["ignore", "ignore", "notrust", "noquery", "noserve", "version", "nomodify", "nopeer", "nomrulist"];

/// Lines that exclude the daemon's limiter and the lab's own ntpq from the test.
const FIXED: &str = "\
limit average 10000 burst 10000
unrestrict default limited noquery
restrict 127.0.0.1
restrict ::1
";

/// A daemon to test with.
struct Case {
    /// Its file.
    conf: String,
    /// Servers on its command line.
    arguments: Vec<&'static str>,
    /// The number of servers.
    associations: usize,
    /// Whether something makes the filter looser: lines for packets from port 123 or servers with a key, since whether the
    /// daemon has made the entries of associations then depends on more than their addresses; or flags of `restrict source`
    /// that drop, which are left to the daemon where the line for the network doesn't have them.
    is_looser: bool,
}

/// Flags by which the daemon drops packets.
const DROPPING: [&str; 6] = ["ignore", "noserve", "noquery", "notrust", "version", "limited"];

fn flags(random: &mut Random, below: usize) -> String {
    (0..random.below(below)).map(|_| format!(" {}", FLAGS[random.below(FLAGS.len())])).collect()
}

fn case(random: &mut Random, keys: &Path) -> Case {
    let mut conf = format!("{FIXED}keys {}\ntrustedkey 5\n", keys.display());
    let start = conf.len();
    let is_looser = random.below(4) == 0;
    // Without a line that cuts servers off, NTPsec makes no entries for them.
    let default = ["", "noserve", "notrust", "ignore", "ignore"][random.below(5)];
    conf.push_str(&format!("restrict default {default}\n"));
    for _ in 0..random.below(5) {
        let network = NETWORKS[random.below(NETWORKS.len())];
        let port = if is_looser && random.below(2) == 0 { " ntpport" } else { "" };
        conf.push_str(&format!("restrict {network}{}{port}\n", flags(random, 4)));
    }
    let port = if random.below(4) == 0 { " ntpport" } else { "" };
    let flags_of_source = if random.below(2) == 0 { " nomodify".to_owned() } else { flags(random, 4) };
    let is_looser = is_looser || DROPPING.iter().any(|flag| flags_of_source.contains(flag));
    let line = format!("restrict source{flags_of_source}{port}\n");
    // The daemon applies it wherever it stands.
    let at = if random.below(2) == 0 { start } else { conf.len() };
    conf.insert_str(at, &line);
    let (mut arguments, mut associations) = (Vec::new(), 0);
    for source in SOURCES {
        match random.below(6) {
            0 | 1 => {
                // NTPsec trusts whoever has a key.
                let key = if is_looser && random.below(2) == 0 { " key 5" } else { "" };
                conf.push_str(&format!("server {source}{key}\n"));
            }
            2 => arguments.push(source),
            _ => continue,
        }
        associations += 1;
    }
    Case { conf, arguments, associations, is_looser }
}

fn probe(random: &mut Random) -> Probe {
    let from = SOURCES[random.below(SOURCES.len())].parse().unwrap();
    let mode = [3, 3, 3, 3, 4, 4, 4, 4, 6, 6, 6, 1][random.below(12)];
    let version = [4, 4, 4, 4, 4, 4, 3, 3, 2, 1][random.below(10)];
    let length = if mode == 6 { 12 } else { [48, 48, 48, 48, 48, 48, 68][random.below(7)] };
    let mut payload = vec![0; length];
    payload[0] = version << 3 | mode;
    if mode == 6 {
        payload[1] = [1, 2][random.below(2)];
    } else {
        payload[1] = 2; // stratum
        payload[24..48].fill(7); // the timestamps
    }
    Probe { from, port: if random.below(3) == 0 { 123 } else { 0 }, payload }
}

/// How many packets of each association the daemon has taken; it has this number of associations.
fn taken(daemon: &Ntpd<'_>, associations: usize) -> BTreeMap<String, u64> {
    if associations == 0 {
        return BTreeMap::new();
    }
    let list = daemon.ntpq(&format!("mrv &1 &{associations} srcadr,received")).unwrap();
    let mut values = list.split([',', ' ', '\n']).filter_map(|pair| pair.split_once('='));
    let mut value = |wanted: &str| values.find(|(name, _)| *name == wanted).map(|(_, value)| value);
    let mut taken = BTreeMap::new();
    while let Some(address) = value("srcadr") {
        let received = value("received").and_then(|count| count.parse().ok());
        taken.insert(address.to_owned(), received.unwrap_or_else(|| panic!("{address} in {list}")));
    }
    assert_eq!(taken.len(), associations, "{list}");
    taken
}

/// How many packets of each association the daemon has taken since then.
fn since(daemon: &Ntpd<'_>, before: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    taken(daemon, before.len())
        .into_iter()
        .map(|(peer, count)| (peer.clone(), count - before[&peer]))
        .collect()
}

#[test]
fn the_guard_changes_nothing_for_a_live_ntpsec_with_servers() {
    let lab = Lab::new().unwrap();
    for address in SOURCES.iter().filter(|address| !["192.0.2.2", "2001:db8::2"].contains(address)) {
        lab.address(address).unwrap();
    }
    let to: [IpAddr; 2] = [SERVER_V4.parse().unwrap(), SERVER_V6.parse().unwrap()];
    let mut random = Random::new(from_environment("SEED", 0x736f_7572_6365));
    let cases = from_environment("PACKETS", 750).div_ceil(PROBES as u64);
    let files = tempfile::tempdir().unwrap();
    let [path, keys] = ["ntp.conf", "ntp.keys"].map(|name| files.path().join(name));
    fs::write(&keys, "5 SHA1 0123456789abcdef0123456789abcdef01234567\n").unwrap();
    let (mut served, mut used, mut refused, mut looser) = (0, 0, 0, 0);
    for _ in 0..cases {
        let Case { conf, arguments, associations, is_looser } = case(&mut random, &keys);
        let probes: Vec<_> = (0..PROBES).map(|_| probe(&mut random)).collect();
        fs::write(&path, &conf).unwrap();
        let daemon = Ntpd::start_with(&lab.server, &conf, &arguments).unwrap();
        let restricted = || daemon.sysstat("restricted").unwrap();
        let by = format!("{conf}and servers {arguments:?}");

        let (start, before) = (restricted(), taken(&daemon, associations));
        let bare = answered(&lab.outside, &probes, to).unwrap();
        let (between, bare_taken) = (restricted(), since(&daemon, &before));
        let guard = Guarding::start(&lab.server, &path, &["--no-hardening", "--yes"]).unwrap();
        let before = taken(&daemon, associations);
        let guarded = answered(&lab.outside, &probes, to).unwrap();
        // What was sent last may still be on its way to the daemon.
        wait_for("what the daemon took without the guard", || since(&daemon, &before) == bare_taken);
        let after = restricted();

        for ((probe, bare), guarded) in probes.iter().zip(&bare).zip(&guarded) {
            let again = || answered(&lab.outside, std::slice::from_ref(probe), to).unwrap()[0];
            let answers = *guarded || *bare && (0..RETRIES).any(|_| again());
            assert!(answers || !bare, "not answered behind the guard: {probe:02x?}, by\n{by}");
        }
        let ended = guard.end(Signal::SIGTERM).unwrap();
        assert!(is_looser || after == between, "{} refused, by\n{by}\n{}", after - between, ended.errors);
        served += bare.iter().filter(|answered| **answered).count() as u64;
        used += bare_taken.values().sum::<u64>();
        refused += between - start;
        looser += after - between;
    }
    println!(
        "{cases} configurations, {PROBES} packets each, twice: {served} answered and {used} taken from servers with and \
         without the guard; the daemon refused {refused} without it, {looser} behind it, all where the guard is looser"
    );
    assert!(served > 10 * cases && used > cases && refused > 10 * cases);
}
