//! A real ntpd behind a real filter, in namespaces: which packets reach it, and which answers its clients get.

use nix::sys::signal::Signal;
use ntpguard_tests::{
    client::{Wire, ask, flood},
    frame::{Frame, SERVER_V4 as SERVER, SERVER_V6 as SERVER6, payload},
    guard::{Guarding, command},
    netns::Lab,
    ntpd::Ntpd,
};
use serde_json::Value;
use std::{fs, path::PathBuf, thread, time::Duration};

/// Debian's default lines, one ignored network, one network without service, and one host that may query.
const CONF: &str = "\
restrict default kod nomodify nopeer noquery limited
restrict 127.0.0.1
restrict ::1
restrict 198.51.100.0 mask 255.255.255.0 ignore
restrict 203.0.113.0 mask 255.255.255.0 noserve noquery
restrict 2001:db8:51:: mask ffff:ffff:ffff:: ignore
restrict 192.0.2.2
";

/// The results of one round of traffic.
#[derive(Debug, PartialEq, Eq)]
struct Round {
    /// Answers to clients that the lines serve.
    served: [u64; 3],
    /// Answers to a host that may query.
    queries: u64,
    /// Answers to sources that are refused.
    refused: u64,
    /// The increase of the daemon's own counter of refused packets.
    restricted: u64,
}

fn conf_file() -> (tempfile::TempDir, PathBuf) {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("ntp.conf");
    fs::write(&path, CONF).unwrap();
    (files, path)
}

fn lab() -> Lab {
    let lab = Lab::new().unwrap();
    for address in ["192.0.2.66", "198.51.100.5", "203.0.113.5", "198.18.0.7", "2001:db8:51::5"] {
        lab.address(address).unwrap();
    }
    lab
}

/// Sends the same traffic each time to a fresh daemon, so that its rate limiter starts afresh too.
fn round(lab: &Lab) -> Round {
    let daemon = Ntpd::start(&lab.server, CONF).unwrap();
    let before = daemon.sysstat("restricted").unwrap();
    let client = payload::time(3, 4);
    let send = |from: &str, to: &str, bytes: &[u8], count| {
        flood(&lab.outside, from, to, bytes, count).unwrap().answers
    };
    let refused = send("192.0.2.66", SERVER, payload::READVAR, 500)
        + send("192.0.2.66", SERVER, payload::MONLIST, 500)
        + send("198.51.100.5", SERVER, &client, 100)
        + send("203.0.113.5", SERVER, &client, 100)
        + send("2001:db8:51::5", SERVER6, &client, 100);
    let asked = |from: &str, to: &str, bytes: &[u8]| ask(&lab.outside, from, to, bytes, 15).unwrap().answers;
    let served = [
        asked("192.0.2.2", SERVER, &client),
        asked("198.18.0.7", SERVER, &client),
        asked("2001:db8::2", SERVER6, &client),
    ];
    let queries = asked("192.0.2.2", SERVER, payload::READVAR);
    Round { served, queries, refused, restricted: daemon.sysstat("restricted").unwrap() - before }
}

#[test]
fn what_the_daemon_refuses_never_reaches_it_and_clients_notice_nothing() {
    let lab = lab();
    let bare = round(&lab);
    println!("without ntpguard: {bare:?}");
    let (_files, path) = conf_file();
    let guard = Guarding::start(&lab.server, &path, &[]).unwrap();
    assert_eq!(guard.attached["mode"], "native");
    let guarded = round(&lab);
    println!("with ntpguard:    {guarded:?}");
    let totals = guard.end(Signal::SIGTERM).unwrap().totals.unwrap();

    // Without ntpguard, the daemon itself refuses all 800 (monlist doesn't count as "restricted", since NTPsec doesn't know
    // mode 7).
    assert_eq!((bare.refused, bare.restricted), (0, 800));
    assert_eq!((guarded.refused, guarded.restricted), (0, 0));
    assert_eq!((bare.served, bare.queries), ([15; 3], 15));
    assert_eq!((guarded.served, guarded.queries), (bare.served, bare.queries));

    let packets = |reason: &str| totals["reasons"][reason]["packets"].as_u64().unwrap();
    let counted = ["mode6", "noquery", "mode7", "ignore", "noserve", "time", "query"].map(packets);
    // readvar was refused by the default line's `noquery`; NTPsec doesn't know mode 7, whatever its lines say.
    assert_eq!(counted, [0, 500, 500, 200, 100, 45, 15], "{totals}");
    assert_eq!(hits(&totals), [(1, 500), (4, 100), (5, 100), (6, 100)], "{totals}");
}

/// Line and number of packets of each rule with hits.
fn hits(totals: &Value) -> Vec<(u64, u64)> {
    let number = |value: &Value| value.as_u64().unwrap();
    let rules = totals["rules"].as_array().unwrap();
    let mut hits: Vec<_> =
        rules.iter().map(|rule| (number(&rule["line"]), number(&rule["packets"]))).collect();
    hits.sort_unstable();
    hits
}

#[test]
fn a_crash_of_the_daemon_leaves_the_guard_and_one_of_the_guard_leaves_the_daemon() {
    let lab = lab();
    let (_files, path) = conf_file();
    let mut daemon = Ntpd::start(&lab.server, CONF).unwrap();
    let guard = Guarding::start(&lab.server, &path, &[]).unwrap();
    assert_eq!(lab.attached().unwrap().len(), 1);

    daemon.crash().unwrap();
    flood(&lab.outside, "192.0.2.66", SERVER, payload::MONLIST, 100).unwrap();
    assert_eq!(lab.attached().unwrap().len(), 1);

    let _daemon = Ntpd::start(&lab.server, CONF).unwrap();
    let ended = guard.end(Signal::SIGKILL).unwrap();
    assert!(!ended.status.success());
    assert_eq!(lab.attached().unwrap(), [0; 0], "a killed guard leaves nothing attached");
    assert_eq!(ask(&lab.outside, "198.18.0.7", SERVER, &payload::time(3, 4), 5).unwrap().answers, 5);
}

#[test]
fn an_address_that_the_host_gets_is_its_own_from_then_on() {
    let lab = lab();
    let (_files, path) = conf_file();
    let mut guard = Guarding::start(&lab.server, &path, &[]).unwrap();
    let wire = Wire::open(&lab.outside).unwrap();
    let frame = Frame::from("192.0.2.77", 40000).payload(&payload::time(3, 4)).build();
    wire.send(&frame).unwrap();
    lab.server.run("ip address add 192.0.2.77/32 dev ntp0").unwrap();
    // There are five lines of counters a second.
    let counted = (0..50).find_map(|_| {
        wire.send(&frame).unwrap();
        let line = guard.line().unwrap();
        (line["reasons"]["impossible-source"]["packets"] != 0).then_some(line)
    });
    assert!(counted.expect("dropped from then on")["reasons"]["time"]["packets"].as_u64().unwrap() > 0);
    assert!(guard.end(Signal::SIGTERM).unwrap().errors.contains("this host's addresses have changed"));
}

#[test]
fn spoofed_sources_are_counted_and_other_traffic_is_left_alone() {
    let lab = lab();
    let (_files, path) = conf_file();
    let guard = Guarding::start(&lab.server, &path, &[]).unwrap();
    let wire = Wire::open(&lab.outside).unwrap();
    for source in ["127.0.0.1", "::1", "224.0.1.1"] {
        for _ in 0..10 {
            wire.send(&Frame::from(source, 123).payload(&payload::time(3, 4)).build()).unwrap();
        }
    }
    // Packets by which `explain` asks the running filter are counted too. Another test's filter may run meanwhile, and then
    // the command can't tell which one is meant.
    let answer = (0..100).find_map(|_| {
        let asked = ["explain", "--running", "--source", "127.0.0.1", "--mode", "3", "--format", "json"];
        let answer = command(&lab.server, &asked).unwrap().output().unwrap();
        let several = String::from_utf8_lossy(&answer.stderr).contains("can't be told");
        thread::sleep(Duration::from_millis(if several { 200 } else { 0 }));
        (!several).then_some(answer)
    });
    let answer = answer.expect("one guard alone");
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!((&answer["verdict"], &answer["engine"]), (&"drop".into(), &"running".into()));
    assert_eq!(answer["reason"], "impossible-source");
    // Ping, ARP and neighbour discovery work as before.
    lab.outside.run("ping -c 2 -i 0.2 -W 1 192.0.2.1").unwrap();
    lab.outside.run("ping -c 2 -i 0.2 -W 1 2001:db8::1").unwrap();
    let ended = guard.end(Signal::SIGINT).unwrap();
    assert!(ended.status.success(), "{}", ended.errors);
    let totals = ended.totals.unwrap();
    assert_eq!(totals["reasons"]["impossible-source"]["packets"], 31);
    assert_eq!(totals["dropped"]["packets"], 31);
    assert_eq!(totals["passed"]["packets"], 0);
}
