//! Packets that don't arrive as one datagram in one Ethernet frame: several datagrams in a frame, and bare IP.

use nix::{
    errno::Errno,
    sys::{
        signal::Signal,
        socket::{MsgFlags, send, setsockopt, sockopt::UdpGsoSegment},
    },
};
use ntpguard_tests::{
    client::Wire,
    fixture::path,
    frame::{
        Frame, SERVER_V4 as SERVER,
        extension::destination,
        payload::{MONLIST, READVAR, time},
    },
    guard::{Guarding, command},
    judged::kernel,
    netns::{INTERFACE, Lab},
    tun::Tun,
};
use serde_json::Value;
use std::{fs, net::UdpSocket, os::fd::AsRawFd as _, path::PathBuf, time::Duration};
use tempfile::TempDir;

/// The first kernel with tcx.
const HAS_TCX: (u32, u32) = (6, 6);
/// A configuration that serves everybody, and lets nobody query.
const PLAIN: &str = "restrict default nomodify nopeer noquery\n";

fn conf() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let conf = folder.path().join("ntp.conf");
    fs::write(&conf, PLAIN).unwrap();
    (folder, conf)
}

/// A stack that accepts packets from any source, and a socket on its port 123.
fn listening(lab: &Lab) -> UdpSocket {
    for knob in ["all", INTERFACE, "default"] {
        lab.server.run(&format!("sysctl -q -w net.ipv4.conf.{knob}.rp_filter=0")).unwrap();
    }
    let socket = lab.server.enter(|| UdpSocket::bind("[::]:123").unwrap());
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket
}

/// Sends segments of `size` bytes from one socket in one call; they arrive in one frame (udp(7): UDP_SEGMENT).
fn send_segments(lab: &Lab, bytes: &[u8], size: usize) -> Result<(), Errno> {
    lab.outside.enter(|| {
        let socket = UdpSocket::bind("192.0.2.2:0").unwrap();
        socket.connect((SERVER, 123)).unwrap();
        setsockopt(&socket, UdpGsoSegment, &(size as i32)).unwrap();
        assert_eq!(send(socket.as_raw_fd(), bytes, MsgFlags::empty())?, bytes.len());
        Ok(())
    })
}

/// The counters by reason, once this many frames have been judged.
fn reasons(guard: &mut Guarding, frames: u64) -> Value {
    // The first lines are about interfaces, one each, and have no counters.
    let of = |line: &Value, what: &str| line[what]["packets"].as_u64().unwrap_or(0);
    let line = (0..100)
        .map(|_| guard.line().unwrap())
        .find(|line| of(line, "passed") + of(line, "dropped") >= frames)
        .expect("the counters come while it runs");
    line["reasons"].clone()
}

#[test]
fn a_query_among_several_datagrams_in_a_frame_is_judged_as_one() {
    if kernel() < HAS_TCX {
        return;
    }
    let served = |count| time(3, 4).repeat(count);
    // Segments of the maximum length, and a query far behind them.
    let far = [vec![0x23; 1400].repeat(40), MONLIST.to_vec()].concat();
    let queried = [READVAR, &[0; 48][READVAR.len()..], &served(100)].concat();
    for (name, bytes, size, reason, arrive) in [
        ("two requests", served(2), 48, "time", 2),
        ("a request and monlist", [served(1), MONLIST.to_vec()].concat(), 48, "mode7", 0),
        ("a request and readvar", [served(1), READVAR.to_vec()].concat(), 48, "mode6", 0),
        ("monlist as the last of 64", [served(63), MONLIST.to_vec()].concat(), 48, "mode7", 0),
        ("monlist behind 56,000 bytes", far, 1400, "mode7", 0),
        ("100 requests", served(100), 48, "segments", 0),
        ("100 requests, not hardened", served(100), 48, "unread", 100),
        ("a query first of 101", queried.clone(), 48, "segments", 0),
        ("a query first of 101, not hardened", queried.clone(), 48, "mode6", 0),
        // A permitted query doesn't vouch for datagrams that aren't looked at.
        ("a permitted query first of 101", queried.clone(), 48, "segments", 0),
        ("a permitted query first of 101, not hardened", queried, 48, "query", 101),
    ] {
        let lab = Lab::new().unwrap();
        let socket = listening(&lab);
        let sent = bytes.len().div_ceil(size);
        // Without a filter, the stack delivers every segment.
        match send_segments(&lab, &bytes, size) {
            Err(Errno::EINVAL) if sent > 64 => continue, // more segments than this kernel sends at once
            sent => sent.unwrap(),
        }
        let mut buffer = [0; 2048];
        for _ in 0..sent {
            socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{name}, unguarded: {error}"));
        }
        let (_folder, conf) = conf();
        if name.contains("permitted") {
            fs::write(&conf, format!("{PLAIN}restrict 192.0.2.2 nomodify\n")).unwrap();
        }
        let hardening = if name.ends_with("not hardened") { "sources,fragments" } else { "segments" };
        let mut guard =
            Guarding::start(&lab.server, &conf, &["--hook", "tc", "--harden", hardening]).unwrap();
        send_segments(&lab, &bytes, size).unwrap();
        let reasons = reasons(&mut guard, 1);
        assert_eq!(reasons[reason]["packets"], 1, "{name}: one frame, {reasons}");
        for _ in 0..arrive {
            socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{name}, guarded: {error}"));
        }
        socket.set_nonblocking(true).unwrap();
        assert!(socket.recv(&mut buffer).is_err(), "{name}: another one arrives");
        println!("{name}: {reason}, {arrive} of {sent} arrive");
    }
}

/// The kernel has moved the outer tag out of the frame by then, so nine tags are followed here.
#[test]
fn priority_tags_are_followed_behind_the_one_that_the_kernel_takes_off() {
    if kernel() < HAS_TCX {
        return;
    }
    let lab = Lab::new().unwrap();
    let socket = listening(&lab);
    let wire = Wire::open(&lab.outside).unwrap();
    let tagged = |payload: &[u8], tags| {
        let frame = Frame::from("192.0.2.66", 40_000).payload(payload);
        (0..tags).fold(frame, |frame, tag| frame.vlan([0x8100, 0x88a8][tag % 2], 0)).build()
    };
    // The stack removes all of them.
    for tags in 0..12 {
        wire.send(&tagged(&time(3, 4), tags)).unwrap();
        socket.recv(&mut [0; 64]).unwrap_or_else(|error| panic!("{tags} tags, unguarded: {error}"));
    }
    let (_folder, conf) = conf();
    let mut guard = Guarding::start(&lab.server, &conf, &["--hook", "tc"]).unwrap();
    for tags in 0..12 {
        wire.send(&tagged(MONLIST, tags)).unwrap();
    }
    let reasons = reasons(&mut guard, 12);
    assert_eq!((&reasons["mode7"]["packets"], &reasons["tags"]["packets"]), (&10.into(), &2.into()));
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 64]).is_err(), "monlist arrives");
}

#[test]
fn bare_ip_is_judged_as_on_ethernet() {
    let lab = Lab::new().unwrap();
    let tun = Tun::new(&lab.server, "tun0").unwrap();
    let socket = listening(&lab);
    let (_folder, conf) = conf();
    let refused = command(&lab.server, &["run", "--interface", "tun0", "--config", conf.to_str().unwrap()])
        .unwrap()
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && said.contains("`--hook tc` guards it"), "{said}");
    if kernel() < HAS_TCX {
        return;
    }
    let bare = |frame: &Frame| frame.build()[14..].to_owned();
    let from = |source: &str, payload: &[u8]| Frame::from(source, 40_000).payload(payload);
    let mut guard = Guarding::start(&lab.server, &conf, &["--hook", "tc", "--interface", "tun0"]).unwrap();
    let dropped = [
        from("203.0.113.9", MONLIST),
        from("2001:db8:7::9", MONLIST),
        // In these, the bytes at the place of an Ethernet frame's type are those of IPv4, and of IPv6.
        from("8.0.113.9", MONLIST),
        from("2001:db8:86dd::9", MONLIST),
        from("203.0.113.9", MONLIST).options(3),
        from("2001:db8:7::9", MONLIST).extension(destination(1)),
    ];
    let served = [
        from("203.0.113.9", &time(3, 4)),
        from("2001:db8:7::9", &time(3, 4)),
        from("8.0.113.9", &time(3, 4)),
        from("8.0.113.9", &time(3, 4)).to_port(53),
        from("2001:db8:86dd::9", &time(3, 4)),
    ];
    for frame in dropped.iter().chain(&served) {
        tun.send(&bare(frame)).unwrap();
    }
    let reasons = reasons(&mut guard, 10);
    assert_eq!((&reasons["mode7"]["packets"], &reasons["time"]["packets"]), (&6.into(), &4.into()));
    for _ in 0..4 {
        let mut buffer = [0; 64];
        assert_eq!((socket.recv(&mut buffer).unwrap(), buffer[0]), (48, 0x23));
    }
    assert!(guard.end(Signal::SIGTERM).unwrap().status.success());
}

/// MAC addresses that look like the beginning of an IPv4 header of 32 bytes, and of an IPv6 header.
#[test]
fn an_ethernet_address_that_looks_like_ip_changes_nothing() {
    if kernel() < HAS_TCX {
        return;
    }
    for address in ["46:00:00:20:00:02", "62:00:00:00:00:08", "46:ff:ff:ff:00:02"] {
        let lab = Lab::new().unwrap();
        lab.server.run(&format!("ip link set {INTERFACE} address {address}")).unwrap();
        let socket = listening(&lab);
        let mut guard = Guarding::start(&lab.server, &path("pool.conf"), &["--hook", "tc"]).unwrap();
        let wire = Wire::open(&lab.outside).unwrap();
        let octets: Vec<u8> =
            address.split(':').map(|octet| u8::from_str_radix(octet, 16).unwrap()).collect();
        for source in ["192.0.2.66", "2001:db8::66"] {
            for payload in [MONLIST, READVAR, &time(3, 4)] {
                let mut frame = Frame::from(source, 40_000).payload(payload).vlan(0x8100, 0).build();
                frame[..6].copy_from_slice(&octets);
                wire.send(&frame).unwrap();
            }
        }
        let reasons = reasons(&mut guard, 6);
        let counted = ["mode7", "mode6", "time"].map(|reason| reasons[reason]["packets"].clone());
        assert_eq!(counted, [2, 2, 2].map(Value::from), "{address}");
        for _ in 0..2 {
            assert_eq!(socket.recv(&mut [0; 64]).unwrap(), 48, "{address}");
        }
    }
}
