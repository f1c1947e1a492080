//! No reply of a server is lost: not while names rotate, guard and daemon restart, or replies come by another interface.
//!
//! `RESTARTS=100 DAEMONS=20 cargo test -p ntpguard-tests --test associations_kept restarts` restarts more often.

use nix::sys::signal::Signal;
use ntpguard_tests::{
    client::Wire,
    dns::Dns,
    following::{dropped, wait_for},
    frame::{Frame, payload},
    home::Home,
    netns::{INTERFACE, Lab},
    ntpd::Ntpd,
    random::from_environment,
    replies::Replies,
};
use std::net::UdpSocket;

/// Nobody but associations and loopback gets through.
const IGNORE: &str = "restrict default ignore\nrestrict 127.0.0.1\nrestrict source nomodify noquery\n";
/// The file of a daemon that others synchronise to.
const UPSTREAM: &str = "restrict default nomodify\nrestrict 127.0.0.1\n";
/// Addresses of the outside host.
const SERVERS: [&str; 8] = [
    "198.51.100.1",
    "198.51.100.2",
    "198.51.100.3",
    "198.51.100.4",
    "198.51.100.5",
    "198.51.100.6",
    "198.51.100.7",
    "198.51.100.8",
];
/// A host that nobody has an association with.
const STRANGER: &str = "198.51.100.200";

fn lab() -> Lab {
    let lab = Lab::new().unwrap();
    SERVERS.iter().for_each(|address| lab.address(address).unwrap());
    lab
}

/// Whether a packet in a mode from port 123 of an address gets through.
fn passes(lab: &Lab, home: &Home<'_>, source: &str, mode: u8) -> bool {
    let before = dropped(home);
    let wire = Wire::open(&lab.outside).unwrap();
    wire.send(&Frame::from(source, 123).payload(&payload::time(mode, 4)).build()).unwrap();
    dropped(home) == before
}

/// Sends a packet in a mode from the daemon's port to a server.
fn leaves(lab: &Lab, to: &str, mode: u8) {
    lab.server.enter(|| {
        let socket = UdpSocket::bind("192.0.2.1:123").unwrap();
        socket.send_to(&payload::time(mode, 4), (to, 123)).unwrap();
    });
}

#[test]
fn names_rotate() {
    const NAMES: [&str; 4] =
        ["0.debian.pool.ntp.org", "1.debian.pool.ntp.org", "2.debian.pool.ntp.org", "3.debian.pool.ntp.org"];
    let lab = lab();
    let pools: String = NAMES.iter().map(|name| format!("pool {name} iburst\n")).collect();
    let conf = format!("tos maxclock 11\n{IGNORE}{pools}");
    let home = Home::new(&lab.server, &conf).unwrap();
    let dns = Dns::start(&lab.outside, "192.0.2.2", &lab.server, home.path()).unwrap();
    let turn = |by: usize| {
        let of = |number: usize| [SERVERS[(number + by) % SERVERS.len()]];
        let addresses: Vec<_> = (0..NAMES.len()).map(of).collect();
        let zone: Vec<_> = NAMES.iter().zip(&addresses).map(|(name, one)| (*name, &one[..])).collect();
        dns.knows(&zone);
    };
    turn(0);
    let _upstream = Ntpd::start(&lab.outside, UPSTREAM).unwrap();
    let guard = home.guarding_with(&["--names-interval", "1s"]).unwrap();
    // The guard and the daemon get different answers. They stay while the daemon looks the names up: if two names had the
    // same address in turn, it would use that only once.
    turn(2);
    let daemon = Ntpd::start(&lab.server, &conf).unwrap();
    wait_for("four pool servers are reached", || daemon.reached().unwrap_or_default() >= NAMES.len());
    let peers = daemon.ntpq("peers").unwrap();
    let reached: Vec<_> = SERVERS.iter().filter(|server| peers.contains(**server)).collect();
    assert!(reached.len() >= NAMES.len(), "{peers}");
    // A new process asks DNS alone, which knows others now.
    dns.knows(&NAMES.map(|name| (name, &["198.51.100.66"][..])));
    drop(guard);
    let _guard = home.guarding_with(&["--names-interval", "1s"]).unwrap();
    for server in reached {
        assert!(passes(&lab, &home, server, 4), "{server}:\n{peers}");
    }
    assert!(!passes(&lab, &home, STRANGER, 4));
    assert!(daemon.reached().unwrap() >= NAMES.len());
    assert_eq!(dropped(&home), 1, "the stranger's");
}

#[test]
fn restarts_lose_no_reply() {
    let [restarts, daemons] = [("RESTARTS", 10), ("DAEMONS", 3)].map(|(name, n)| from_environment(name, n));
    let lab = lab();
    let _upstream = Ntpd::start(&lab.outside, UPSTREAM).unwrap();
    let server = |address: &&str| format!("server {address} iburst minpoll 3 maxpoll 3\n");
    let conf = format!("{IGNORE}{}", SERVERS[..3].iter().map(server).collect::<String>());
    let home = Home::new(&lab.server, &conf).unwrap();
    let mut guard = home.guarding().unwrap();
    let mut sent = Replies::at(&lab.outside, INTERFACE).unwrap();
    let mut received = Replies::at(&lab.server, INTERFACE).unwrap();
    // A server on the command line, which the guard can't know before.
    let start = || Ntpd::start_with(&lab.server, &conf, &SERVERS[3..4]).unwrap();
    let mut daemon = start();
    for number in 1..=restarts {
        if number % (restarts / daemons).max(1) == 0 {
            daemon.crash().unwrap();
            daemon = start();
            wait_for("all servers are reached", || daemon.reached().unwrap_or_default() == 4);
        }
        // In turn it ends in order, and is killed.
        let signal = if number % 2 == 0 { Signal::SIGTERM } else { Signal::SIGKILL };
        guard.end(signal).unwrap();
        let before = received.seen();
        wait_for("a reply while no process looks after the filter", || received.seen() > before);
        guard = home.guarding().unwrap();
        let before = received.seen();
        wait_for("a reply behind a new process", || received.seen() > before);
    }
    daemon.crash().unwrap();
    let replies = sent.seen();
    wait_for("what is on the wire", || received.seen() == replies);
    println!(
        "{restarts} restarts of the guard, {daemons} of the daemon: {replies} replies sent, all arrived"
    );
    assert_eq!(dropped(&home), 0);
    assert!(replies >= 2 * restarts);
}

#[test]
fn peers_ask_each_other() {
    let lab = lab();
    let peer = |address: &str| format!("{IGNORE}peer {address} iburst minpoll 3\n");
    let (ours, theirs) = (peer("192.0.2.2"), peer("192.0.2.1"));
    let home = Home::new(&lab.server, &ours).unwrap();
    let _guard = home.guarding().unwrap();
    let both = [Ntpd::start(&lab.server, &ours).unwrap(), Ntpd::start(&lab.outside, &theirs).unwrap()];
    wait_for("both are reached", || both.iter().all(|daemon| daemon.reached().unwrap_or_default() == 1));
    assert_eq!(dropped(&home), 0);
}

/// Packets of symmetric peers from port 123 to port 123, in front of 4.2.8, which takes them.
#[test]
fn symmetric_peers_get_through() {
    let lab = lab();
    for (more, is_passive) in [("", false), ("disable auth\n", true)] {
        let home = Home::new(&lab.server, &format!("{IGNORE}{more}peer {}\n", SERVERS[0])).unwrap();
        let conf = home.conf();
        home.run(&format!("attach -i {INTERFACE} --dialect ntp-4.2.8 --config {}", conf.display())).unwrap();
        let passes = |source: &str| [1, 2].map(|mode| passes(&lab, &home, source, mode));
        assert_eq!(passes(SERVERS[0]), [true, true], "the file names it");
        assert_eq!(passes(SERVERS[1]), [false, false], "nobody has asked it");
        leaves(&lab, SERVERS[1], 1);
        assert_eq!(passes(SERVERS[1]), [true, true], "a peer that isn't in the file");
        // An answer to a peer's request is an association only where anybody may become one.
        leaves(&lab, SERVERS[2], 2);
        assert_eq!(passes(SERVERS[2]), [is_passive; 2], "a passive association, with {more:?}");
        assert_eq!(passes(STRANGER), [false, false]);
        home.run("detach --all").unwrap();
    }
}

#[test]
fn servers_of_the_command_line_alone() {
    let lab = lab();
    let _upstream = Ntpd::start(&lab.outside, UPSTREAM).unwrap();
    let home = Home::new(&lab.server, IGNORE).unwrap();
    let daemon = Ntpd::start_with(&lab.server, IGNORE, &SERVERS[..3]).unwrap();
    let mut received = Replies::at(&lab.server, INTERFACE).unwrap();
    let _guard = home.guarding_with(&["--yes"]).unwrap();
    for server in &SERVERS[..3] {
        assert!(passes(&lab, &home, server, 4), "{server}");
    }
    assert!(!passes(&lab, &home, SERVERS[3], 4));
    let before = received.seen();
    wait_for("a reply", || received.seen() > before);
    wait_for("all servers are reached", || daemon.reached().unwrap_or_default() == 3);
    assert_eq!(dropped(&home), 1);
}

/// At boot the guard may start first, with nothing that tells it of servers.
#[test]
fn servers_of_the_command_line_after_the_guard() {
    let lab = lab();
    let _upstream = Ntpd::start(&lab.outside, UPSTREAM).unwrap();
    let home = Home::new(&lab.server, IGNORE).unwrap();
    let _guard = home.guarding_with(&["--yes"]).unwrap();
    let daemon = Ntpd::start_with(&lab.server, IGNORE, &SERVERS[..3]).unwrap();
    wait_for("all servers are reached", || daemon.reached().unwrap_or_default() == 3);
    assert_eq!(dropped(&home), 0);
}

/// A pool's name has other addresses for the guard than for the daemon.
#[test]
fn whom_only_the_guard_finds_in_a_pool() {
    let lab = lab();
    let lines = "restrict default nomodify\nrestrict 127.0.0.1\nrestrict source nomodify noquery\n";
    let home = Home::new(&lab.server, &format!("{lines}pool pool.example\n")).unwrap();
    let dns = Dns::start(&lab.outside, "192.0.2.2", &lab.server, home.path()).unwrap();
    dns.knows(&[("pool.example", &SERVERS[..1])]);
    let conf = home.conf();
    let bare = format!("--dialect ntp-4.2.8 --no-hardening --config {}", conf.display());
    home.run(&format!("attach -i {INTERFACE} {bare}")).unwrap();
    // The daemon has no association with it, and so no entry that says `noquery`.
    assert!(passes(&lab, &home, SERVERS[0], 6), "the daemon answers it");
}

#[test]
fn replies_by_another_interface() {
    const SECOND: &str = "ntp1";
    let lab = lab();
    lab.second_wire(SECOND).unwrap();
    for host in [&lab.server, &lab.outside] {
        for interface in ["all", INTERFACE, SECOND] {
            host.run(&format!("sysctl -q -w net.ipv4.conf.{interface}.rp_filter=0")).unwrap();
        }
    }
    // Replies leave by the second wire; requests come by the first one.
    lab.outside.run(&format!("ip route add 192.0.2.1/32 dev {SECOND} src 192.0.2.2")).unwrap();
    let _upstream = Ntpd::start(&lab.outside, UPSTREAM).unwrap();
    let servers: String =
        SERVERS[..2].iter().map(|address| format!("server {address} iburst minpoll 3\n")).collect();
    let conf = format!("{IGNORE}{servers}");
    let home = Home::new(&lab.server, &conf).unwrap();
    let _guard = home.guarding_with(&["--interface", SECOND]).unwrap();
    let mut by = [INTERFACE, SECOND].map(|interface| Replies::at(&lab.server, interface).unwrap());
    let daemon = Ntpd::start_with(&lab.server, &conf, &SERVERS[2..3]).unwrap();
    wait_for("all servers are reached", || daemon.reached().unwrap_or_default() == 3);
    let [first, second] = by.each_mut().map(Replies::seen);
    assert!(first == 0 && second >= 3, "{first} by the first wire, {second} by the second one");
    assert_eq!(dropped(&home), 0);
}
