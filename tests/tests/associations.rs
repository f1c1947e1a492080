//! Associations: whom this host's daemon asks is learnt from what leaves, and `restrict source` applies to them and to
//! nobody else.

use ntpguard_tests::{
    client::Wire,
    following::{dropped, wait_for},
    frame::{Frame, payload},
    home::Home,
    netns::{INTERFACE, Lab, Netns},
    ntpd::Ntpd,
};
use std::{net::UdpSocket, thread, time::Duration};

/// Nobody but associations gets through; they may send time.
const IGNORE: &str = "restrict default ignore\nrestrict 127.0.0.1\nrestrict source nomodify noquery\n";
/// A server that the file names, so that the daemon may have associations.
const NAMED: &str = "server 198.51.100.9\n";
/// Servers that no file names.
const SERVERS: [&str; 3] = ["198.51.100.5", "198.51.100.6", "2001:db8::2"];

/// Sends a packet from an address and port of a host to port 123 of another.
fn leaves(host: &Netns, from: &str, to: &str, payload: &[u8]) {
    host.enter(|| {
        let socket = UdpSocket::bind(from).unwrap();
        socket.send_to(payload, (to, 123)).unwrap();
    });
}

/// The address that a packet to this server leaves from, with the daemon's port.
fn ours(server: &str) -> &'static str {
    if server.contains(':') { "[2001:db8::1]:123" } else { "192.0.2.1:123" }
}

/// Asks a server as the daemon would.
fn asks(lab: &Lab, server: &str) {
    leaves(&lab.server, ours(server), server, &payload::time(3, 4));
}

/// Whether a packet in a mode from port 123 of an address gets through.
fn passes_in(lab: &Lab, home: &Home<'_>, source: &str, mode: u8) -> bool {
    let before = dropped(home);
    let wire = Wire::open(&lab.outside).unwrap();
    wire.send(&Frame::from(source, 123).payload(&payload::time(mode, 4)).build()).unwrap();
    dropped(home) == before
}

fn passes(lab: &Lab, home: &Home<'_>, source: &str) -> bool {
    passes_in(lab, home, source, 4)
}

#[test]
fn whom_the_daemon_asks_gets_through_and_nobody_else() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, &format!("{IGNORE}{NAMED}")).unwrap();
    let guard = home.guarding().unwrap();
    assert!(passes(&lab, &home, "198.51.100.9"), "the file names it");
    for server in SERVERS {
        assert!(!passes(&lab, &home, server), "{server} hasn't been asked");
        asks(&lab, server);
        assert!(passes(&lab, &home, server), "{server} has been asked");
    }
    assert!(!passes(&lab, &home, "198.51.100.8"));
    // The line says `noquery`.
    assert!(!passes_in(&lab, &home, SERVERS[0], 6), "queries stay out");
    // What opens nothing: another port, another mode, an answer.
    leaves(&lab.server, "192.0.2.1:40000", "198.51.100.7", &payload::time(3, 4));
    leaves(&lab.server, "192.0.2.1:123", "198.51.100.7", &payload::time(4, 4));
    leaves(&lab.server, "192.0.2.1:123", "198.51.100.7", &payload::time(2, 4));
    assert!(!passes(&lab, &home, "198.51.100.7"));
    leaves(&lab.server, "192.0.2.1:123", "198.51.100.7", &payload::time(1, 4));
    assert!(passes(&lab, &home, "198.51.100.7"), "a symmetric peer");
    drop(guard);
}

#[test]
fn another_namespace_opens_nothing() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, &format!("{IGNORE}{NAMED}")).unwrap();
    let _guard = home.guarding().unwrap();
    // The clients' host shares the root cgroup.
    lab.address("198.51.100.7").unwrap();
    leaves(&lab.outside, "192.0.2.2:123", "198.51.100.7", &payload::time(3, 4));
    lab.outside.run("ip route add 198.51.100.77 via 192.0.2.1").unwrap();
    leaves(&lab.outside, "192.0.2.2:123", "198.51.100.77", &payload::time(3, 4));
    assert!(!passes(&lab, &home, "198.51.100.7") && !passes(&lab, &home, "198.51.100.77"));
}

#[test]
fn associations_outlive_the_process_and_go_with_the_filter() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, &format!("{IGNORE}{NAMED}")).unwrap();
    home.attach().unwrap();
    asks(&lab, SERVERS[0]);
    assert!(passes(&lab, &home, SERVERS[0]));
    for _ in 0..3 {
        let guard = home.guarding().unwrap();
        assert!(passes(&lab, &home, SERVERS[0]), "taken over");
        drop(guard);
        assert!(passes(&lab, &home, SERVERS[0]), "nobody looks after it");
    }
    asks(&lab, SERVERS[1]);
    assert!(passes(&lab, &home, SERVERS[1]), "learnt while nobody looks after it");
    home.run("detach --all").unwrap();
    assert_eq!(home.pins().unwrap(), 0);
}

/// Formerly, every new policy overwrote what was known of the servers that the file names.
#[test]
fn a_new_policy_keeps_what_packets_have_told() {
    let lab = Lab::new().unwrap();
    let conf = format!("{IGNORE}{NAMED}");
    let home = Home::new(&lab.server, &conf).unwrap();
    home.attach().unwrap();
    let known = || home.status().unwrap()["associations"]["list"][0].clone();
    assert_eq!(known()["origin"], "named in the configuration");
    asks(&lab, "198.51.100.9");
    let told = known();
    assert_eq!(told["origin"], "sent to", "{told}");
    home.write(&format!("{conf}restrict 192.0.2.66 ignore\n")).unwrap();
    home.run("reload").unwrap();
    assert_eq!(known(), told);
}

#[test]
fn a_line_that_comes_later_learns_too() {
    let lab = Lab::new().unwrap();
    let home =
        Home::new(&lab.server, &format!("restrict default ignore\n{NAMED}restrict 198.51.100.9\n")).unwrap();
    home.attach().unwrap();
    assert!(!passes(&lab, &home, SERVERS[0]));
    home.write(&format!("{IGNORE}{NAMED}")).unwrap();
    home.run("reload").unwrap();
    assert!(!passes(&lab, &home, SERVERS[0]));
    asks(&lab, SERVERS[0]);
    assert!(passes(&lab, &home, SERVERS[0]));
}

/// Debian's stock file for 4.2.8: clients are limited, the servers are not. NTPsec limits its servers, too: it makes an
/// entry for them only where they would be cut off.
#[test]
fn the_stock_file_limits_clients() {
    let stock = "restrict default kod nomodify nopeer noquery limited\nrestrict source nomodify noquery\n\
                 restrict 127.0.0.1\nrestrict ::1\npool 198.51.100.9\n";
    for (dialect, limits_servers) in [("ntp-4.2.8", false), ("ntpsec", true)] {
        let lab = Lab::new().unwrap();
        let home = Home::new(&lab.server, stock).unwrap();
        let conf = home.conf();
        home.run(&format!("attach -i {INTERFACE} --dialect {dialect} --config {}", conf.display())).unwrap();
        let floods = |source: &str, port, mode| {
            let before = dropped(&home);
            let wire = Wire::open(&lab.outside).unwrap();
            let frame = Frame::from(source, port).payload(&payload::time(mode, 4)).build();
            (0..200).for_each(|_| wire.send(&frame).unwrap());
            dropped(&home) - before
        };
        assert!(floods("198.51.100.200", 40000, 3) > 100, "{dialect}: a client");
        asks(&lab, SERVERS[0]);
        assert_eq!(floods(SERVERS[0], 123, 4) > 0, limits_servers, "{dialect}: a server");
        home.run("detach --all").unwrap();
    }
}

#[test]
fn a_daemon_synchronises_through_the_guard_only_with_the_line() {
    let lab = Lab::new().unwrap();
    for address in ["198.51.100.5", "198.51.100.6"] {
        lab.address(address).unwrap();
    }
    let _upstream = Ntpd::start(&lab.outside, "restrict default nomodify\nrestrict 127.0.0.1\n").unwrap();
    let servers = "server 198.51.100.5 iburst minpoll 3\nserver 198.51.100.6 iburst minpoll 3\n";
    for (line, is_reached) in [("restrict source nomodify noquery\n", true), ("", false)] {
        let conf = format!("restrict default ignore\nrestrict 127.0.0.1\n{line}{servers}");
        let home = Home::new(&lab.server, &conf).unwrap();
        let options: &[&str] = if is_reached { &[] } else { &["--yes"] };
        let guard = home.guarding_with(options).unwrap();
        let daemon = Ntpd::start(&lab.server, &conf).unwrap();
        let reached = || daemon.reached().unwrap_or_default();
        if is_reached {
            wait_for("both servers are reached", || reached() == 2);
        } else {
            thread::sleep(Duration::from_secs(10));
            assert_eq!(reached(), 0);
        }
        drop(guard);
        home.run("detach --all").unwrap();
    }
}
