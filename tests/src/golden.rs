//! Golden packets: a named frame, the configuration it meets, and what must become of it.
//!
//! Expectations are written by hand from the RFCs, the daemons' manuals and the kernel's sources; nothing here is
//! derived from the code under test.

use crate::frame::{
    Frame,
    extension::{authentication, destination, fragment, hop_by_hop, routing},
    payload::{MONLIST, READVAR, time},
};
use ntpguard_common::Reason;

/// What must become of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Passes, and no counter moves.
    Untouched,
    /// Passes or is dropped as the reason says, and that counter alone moves by one; the line of ntp.conf that
    /// caused a drop, if one did.
    Counted(Reason, Option<usize>),
}

/// A golden packet.
#[derive(Clone, Debug)]
pub struct Golden {
    /// What it shows.
    pub name: &'static str,
    /// The fixture in force.
    pub fixture: &'static str,
    /// The frame.
    pub frame: Vec<u8>,
    /// What must become of it.
    pub expect: Expect,
    /// The length of the frame's first buffer, if the test says (Linux 6.18).
    pub linear: Option<u32>,
}

const OUTSIDER: &str = "192.0.2.66";
const OUTSIDER6: &str = "2001:db8::66";

/// All of them.
pub fn cases() -> Vec<Golden> {
    [modes(), sources(), rules(), forms(), wrapped(), fragments(), lengths(), buffers()].concat()
}

fn golden(name: &'static str, fixture: &'static str, frame: &Frame, expect: Expect) -> Golden {
    Golden { name, fixture, frame: frame.build(), expect, linear: None }
}

fn drops(reason: Reason) -> Expect {
    Expect::Counted(reason, None)
}

fn passes(reason: Reason) -> Expect {
    Expect::Counted(reason, None)
}

fn monlist(source: &str) -> Frame {
    Frame::from(source, 40000).payload(MONLIST)
}

fn client(source: &str) -> Frame {
    Frame::from(source, 40000).payload(&time(3, 4))
}

/// Every mode, version and opcode that threats name; nobody may query.
fn modes() -> Vec<Golden> {
    let conf = "debian-ntpsec.conf";
    let query = |name, bytes: &[u8], reason| {
        golden(name, conf, &Frame::from(OUTSIDER, 40000).payload(bytes), drops(reason))
    };
    let with_zeros = |head: &[u8], length: usize| {
        let mut bytes = head.to_vec();
        bytes.resize(length, 0);
        bytes
    };
    let mut all = vec![
        query("monlist", MONLIST, Reason::Mode7),
        query("monlist as ntpdc pads it", &with_zeros(MONLIST, 192), Reason::Mode7),
        query("monlist of older ntpdc", &with_zeros(MONLIST, 48), Reason::Mode7),
        query("monlist, version 1", &with_zeros(&[0x0f, 0, 3, 42], 8), Reason::Mode7),
        query("monlist, version 3", &with_zeros(&[0x1f, 0, 3, 42], 8), Reason::Mode7),
        query("monlist, version 4 with leap bits", &with_zeros(&[0x67, 0, 3, 42], 8), Reason::Mode7),
        query("monlist, request 20", &with_zeros(&[0x17, 0, 3, 20], 8), Reason::Mode7),
        query("monlist, implementation 2", &with_zeros(&[0x17, 0, 2, 42], 8), Reason::Mode7),
        query("mode 7 response arriving here", &with_zeros(&[0xd7, 0, 3, 42], 440), Reason::Mode7),
        query("mode 7, one byte", &[0x17], Reason::Mode7),
        query("mode 7, seven bytes", &MONLIST[..7], Reason::Mode7),
        query("readvar", READVAR, Reason::Mode6),
        query("mode 6 response arriving here", &with_zeros(&[0x16, 0x82, 0, 1], 480), Reason::Mode6),
        query("mode 6, eleven bytes", &READVAR[..11], Reason::Mode6),
        query("mode 6, one byte", &[0x16], Reason::Mode6),
        golden("empty payload", conf, &Frame::from(OUTSIDER, 40000), drops(Reason::Malformed)),
    ];
    for (name, opcode) in [
        ("readstat", 1),
        ("read_mru", 10),
        ("ordlist", 11),
        ("req_nonce", 12),
        ("unsettrap", 31),
        ("settrap", 6),
    ] {
        all.push(query(name, &with_zeros(&[0x16, opcode, 0, 1], 12), Reason::Mode6));
    }
    for (name, request) in [
        ("peer list", 0),
        ("peer list sum", 1),
        ("sysinfo", 4),
        ("get restrict", 16),
        ("traps", 29),
        ("if stats", 44),
    ] {
        all.push(query(name, &with_zeros(&[0x17, 0, 3, request], 8), Reason::Mode7));
    }
    for (name, mode, version) in [
        ("mode 0, version 1", 0, 1),
        ("symmetric active", 1, 4),
        ("symmetric passive", 2, 4),
        ("client", 3, 4),
        ("client, version 1", 3, 1),
        ("client, version 5", 3, 5),
        ("server, unasked", 4, 4),
        ("broadcast", 5, 4),
    ] {
        let frame = Frame::from(OUTSIDER, 123).payload(&time(mode, version));
        all.push(golden(name, conf, &frame, passes(Reason::Time)));
    }
    for (name, length) in
        [("client with MD5 MAC", 68), ("client with SHA-1 MAC", 72), ("client with NTS", 1012)]
    {
        let frame = Frame::from(OUTSIDER, 40000).payload(&with_zeros(&time(3, 4), length));
        all.push(golden(name, conf, &frame, passes(Reason::Time)));
    }
    all
}

/// Sources that can't be, and ports that make loops.
fn sources() -> Vec<Golden> {
    let conf = "hosting.conf"; // has `restrict 127.0.0.1`, full access
    let impossible = |name, frame: &Frame| golden(name, conf, frame, drops(Reason::ImpossibleSource));
    let mut all = vec![
        golden("monlist as if from 127.0.0.1", conf, &monlist("127.0.0.1"), drops(Reason::Mode7)),
        golden("monlist as if from ::1", "hosting-monitor.conf", &monlist("::1"), drops(Reason::Mode7)),
        golden(
            "monlist as if from 127.0.0.1, where a line lets others query",
            "flags.conf",
            &monlist("127.0.0.1"),
            drops(Reason::ImpossibleSource),
        ),
        impossible("client as if from 127.0.0.1", &client("127.0.0.1")),
        impossible("client as if from 127.8.8.8", &client("127.8.8.8")),
        impossible("client as if from ::1", &client("::1")),
        impossible("client as if from 0.0.0.0", &client("0.0.0.0")),
        golden(
            "client from 0/8, unicast since Linux 5.3",
            "pool.conf",
            &client("0.1.2.3"),
            passes(Reason::Time),
        ),
        impossible("client as if from ::", &client("::")),
        impossible("client as if from 224.0.1.1", &client("224.0.1.1")),
        impossible("client as if from ff02::101", &client("ff02::101")),
        impossible("client as if from 255.255.255.255", &client("255.255.255.255")),
        impossible("client as if from ::ffff:192.0.2.66", &client("::ffff:192.0.2.66")),
    ];
    for (name, port) in
        [("source port 0", 0), ("source port 19", 19), ("source port 53", 53), ("source port 123", 123)]
    {
        let frame = Frame::from(OUTSIDER, port);
        all.push(golden(name, "pool.conf", &frame.clone().payload(MONLIST), drops(Reason::Mode7)));
        all.push(golden(name, "pool.conf", &frame.payload(&time(3, 4)), passes(Reason::Time)));
    }
    let reply = Frame::from(OUTSIDER, 123).to_port(40000).payload(&time(4, 4));
    all.push(golden("port 123 as source only", "hosting.conf", &reply, Expect::Untouched));
    all
}

/// The restrict lines of the fixtures, by source.
fn rules() -> Vec<Golden> {
    use Expect::Counted;
    let readvar = |source| Frame::from(source, 40000).payload(READVAR);
    vec![
        golden("hosting: an outsider", "hosting.conf", &client(OUTSIDER), Counted(Reason::Ignore, Some(2))),
        golden(
            "hosting: an IPv6 outsider",
            "hosting.conf",
            &client(OUTSIDER6),
            Counted(Reason::Ignore, Some(2)),
        ),
        golden("hosting: its own server", "hosting.conf", &client("203.0.113.123"), passes(Reason::Time)),
        golden(
            "hosting: its server's IPv6",
            "hosting.conf",
            &client("2001:db8:113::123"),
            passes(Reason::Time),
        ),
        golden("hosting: its server asks", "hosting.conf", &readvar("203.0.113.123"), drops(Reason::Mode6)),
        golden("lan: client inside", "lan.conf", &client("192.0.2.10"), passes(Reason::Time)),
        golden("lan: query inside", "lan.conf", &readvar("192.0.2.10"), passes(Reason::Query)),
        golden("lan: monlist inside", "lan.conf", &monlist("192.0.2.10"), passes(Reason::Query)),
        golden("lan: client outside", "lan.conf", &client("203.0.113.9"), passes(Reason::Time)),
        golden("lan: query outside", "lan.conf", &readvar("203.0.113.9"), drops(Reason::Mode6)),
        golden("lan: monlist from IPv6", "lan.conf", &monlist(OUTSIDER6), drops(Reason::Mode7)),
        golden("empty: client", "empty.conf", &client(OUTSIDER), passes(Reason::Time)),
        golden("empty: monlist", "empty.conf", &monlist(OUTSIDER), drops(Reason::Mode7)),
        golden("noserve by /24", "flags.conf", &client("198.51.100.1"), Counted(Reason::Noserve, Some(3))),
        golden("noquery merged", "flags.conf", &readvar("198.51.100.1"), Counted(Reason::Noquery, Some(9))),
        golden("ignore by /26", "flags.conf", &client("198.51.100.127"), Counted(Reason::Ignore, Some(4))),
        golden("past the /26", "flags.conf", &client("198.51.100.128"), Counted(Reason::Noserve, Some(3))),
        golden("host in /26, client", "flags.conf", &client("198.51.100.65"), passes(Reason::Time)),
        golden(
            "host in /26, monlist",
            "flags.conf",
            &monlist("198.51.100.65"),
            Counted(Reason::Noquery, Some(5)),
        ),
        golden("host without flags", "flags.conf", &monlist("198.51.100.66"), passes(Reason::Query)),
        golden("IPv6 /48", "flags.conf", &client("2001:db8:51::1"), Counted(Reason::Ignore, Some(7))),
        golden("IPv6 host without flags", "flags.conf", &readvar("2001:db8:51::66"), passes(Reason::Query)),
        golden(
            "short mode 6 from one who may",
            "flags.conf",
            &Frame::from("198.51.100.66", 40000).payload(&READVAR[..11]),
            drops(Reason::Malformed),
        ),
        golden(
            "short mode 7 from one who may",
            "flags.conf",
            &Frame::from("198.51.100.66", 40000).payload(&MONLIST[..7]),
            drops(Reason::Malformed),
        ),
    ]
}

/// What every daemon discards by its form, from one who may have everything.
fn forms() -> Vec<Golden> {
    let permitted = |name, bytes: &[u8], reason| {
        golden(name, "flags.conf", &Frame::from("198.51.100.66", 40000).payload(bytes), passes(reason))
    };
    let changed = |bytes: &[u8], at: usize, value: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = value;
        bytes
    };
    let mut all = vec![
        permitted("time packet of 47 bytes", &time(3, 4)[..47], Reason::Malformed),
        permitted("time packet of version 0", &time(3, 0), Reason::Malformed),
        permitted("mode 0 of version 4", &time(0, 4), Reason::Malformed),
        permitted("mode 0 of version 1", &time(0, 1), Reason::Time),
        permitted("time packet of version 7", &time(3, 7), Reason::Time),
        permitted("readvar", READVAR, Reason::Query),
        permitted("readvar with leap bits", &changed(READVAR, 0, 0xd6), Reason::Query),
        permitted("monlist, authenticated", &changed(MONLIST, 1, 0x80), Reason::Query),
        permitted("monlist with items", &changed(MONLIST, 5, 1), Reason::Query),
    ];
    for (name, at, value) in [
        ("mode 6 of version 0", 0, 0x06),
        ("mode 6 of version 5", 0, 0x2e),
        ("mode 6 response", 1, 0x82),
        ("mode 6 error", 1, 0x42),
        ("mode 6, more to come", 1, 0x22),
        ("mode 6 at an offset", 9, 4),
    ] {
        all.push(permitted(name, &changed(READVAR, at, value), Reason::Malformed));
    }
    for (name, at, value) in [
        ("mode 7 of version 0", 0, 0x07),
        ("mode 7 of version 5", 0, 0x2f),
        ("mode 7 response", 0, 0x97),
        ("mode 7, more to come", 0, 0x57),
        ("mode 7 with a sequence number", 1, 1),
        ("mode 7 error", 4, 0x40),
        ("mode 7, not zero where it must be", 6, 0x10),
    ] {
        all.push(permitted(name, &changed(MONLIST, at, value), Reason::Malformed));
    }
    all
}

/// What stands between the frame's start and UDP.
fn wrapped() -> Vec<Golden> {
    let conf = "pool.conf";
    let mode7 = |name, frame: &Frame| golden(name, conf, frame, drops(Reason::Mode7));
    let other = |name, frame: &Frame| golden(name, conf, frame, Expect::Untouched);
    let (v4, v6) = (monlist(OUTSIDER), monlist(OUTSIDER6));
    let eight = (0..8).fold(v6.clone(), |frame, _| frame.extension(destination(0)));
    vec![
        mode7("IPv4 options, 4 bytes", &v4.clone().options(1)),
        mode7("IPv4 options, 40 bytes", &v4.clone().options(10)),
        mode7("802.1Q", &v4.clone().vlan(0x8100, 7)),
        mode7("802.1ad", &v4.clone().vlan(0x88a8, 7)),
        mode7("priority tag", &v4.clone().vlan(0x8100, 0)),
        mode7("802.1ad and 802.1Q", &v4.clone().vlan(0x88a8, 7).vlan(0x8100, 8)),
        mode7("two 802.1Q tags, IPv6", &v6.clone().vlan(0x8100, 7).vlan(0x8100, 8)),
        mode7("tag, IPv4 options", &v4.clone().vlan(0x8100, 7).options(3)),
        mode7("hop-by-hop", &v6.clone().extension(hop_by_hop(0))),
        mode7("long destination options", &v6.clone().extension(destination(40))),
        mode7("routing", &v6.clone().extension(routing(2))),
        mode7("authentication, IPv6", &v6.clone().extension(authentication(4))),
        mode7("authentication of odd length", &v6.clone().extension(authentication(3))),
        mode7(
            "every extension header",
            &v6.clone()
                .extension(hop_by_hop(1))
                .extension(destination(2))
                .extension(routing(2))
                .extension(fragment(0, false))
                .extension(authentication(4))
                .extension(destination(0)),
        ),
        mode7("eight extension headers", &eight),
        golden(
            "nine extension headers",
            conf,
            &eight.clone().extension(destination(0)),
            passes(Reason::Unread),
        ),
        golden(
            "client behind extension headers",
            conf,
            &client(OUTSIDER6).extension(hop_by_hop(0)),
            passes(Reason::Time),
        ),
        other(
            "an unknown next header is no extension header",
            &v6.clone().extension((253, vec![17, 0, 0, 0, 0, 0, 0, 0])),
        ),
        other("ESP", &v6.clone().extension((50, vec![17, 0, 0, 0, 0, 0, 0, 0]))),
        other("three tags", &v4.clone().vlan(0x8100, 1).vlan(0x8100, 2).vlan(0x8100, 3)),
        other("TCP with UDP's bytes", &v4.clone().protocol(6)),
        other("UDP-Lite", &v4.clone().protocol(136)),
        other("another port", &v4.clone().to_port(124)),
        other("port 123 << 8", &v4.clone().to_port(123 << 8)),
        other("ARP", &v4.clone().ether_type(0x0806)),
        other("IPv6 under IPv4's EtherType", &v6.clone().ether_type(0x0800)),
        other("IPv4 under IPv6's EtherType", &v4.clone().ether_type(0x86dd)),
    ]
}

fn fragments() -> Vec<Golden> {
    let conf = "pool.conf";
    let first = |name, frame: &Frame| golden(name, conf, frame, drops(Reason::Fragment));
    let other = |name, frame: &Frame| golden(name, conf, frame, Expect::Untouched);
    let (v4, v6) = (monlist(OUTSIDER), monlist(OUTSIDER6));
    let tiny = Frame::from(OUTSIDER, 40000).udp_length(16); // UDP's header, and no mode byte
    vec![
        first("first fragment", &v4.clone().fragment(0, true)),
        first("first fragment of a time packet", &client(OUTSIDER).fragment(0, true)),
        first("first fragment without the mode byte", &tiny.fragment(0, true)),
        first("first fragment, IPv6", &v6.clone().extension(fragment(0, true))),
        first(
            "first fragment that ends before the next extension header",
            &v6.clone()
                .extension(fragment(0, true))
                .extension(destination(0))
                .extension(destination(0))
                .ip_length(16),
        ),
        first(
            "first fragment that ends in an extension header",
            &v6.clone().extension(fragment(0, true)).extension(destination(5)).ip_length(16),
        ),
        first(
            "first fragment that ends before UDP's header",
            &v6.clone().extension(fragment(0, true)).extension(destination(0)).ip_length(16),
        ),
        first(
            "first fragment between extension headers",
            &v6.clone().extension(hop_by_hop(0)).extension(fragment(0, true)).extension(destination(0)),
        ),
        golden("atomic fragment", conf, &v6.clone().extension(fragment(0, false)), drops(Reason::Mode7)),
        other("later fragment whose bytes look like UDP to 123", &v4.clone().fragment(1, true)),
        other("last fragment whose bytes look like UDP to 123", &v4.clone().fragment(185, false)),
        other("later fragment, IPv6", &v6.clone().extension(fragment(1, true))),
        other("last fragment, IPv6", &v6.clone().extension(fragment(185, false))),
        other("first fragment to another port", &v4.clone().to_port(53).fragment(0, true)),
    ]
}

/// Length fields that lie.
fn lengths() -> Vec<Golden> {
    let conf = "pool.conf";
    let mode7 = |name, frame: &Frame| golden(name, conf, frame, drops(Reason::Mode7));
    let malformed = |name, frame: &Frame| golden(name, conf, frame, drops(Reason::Malformed));
    let other = |name, frame: &Frame| golden(name, conf, frame, Expect::Untouched);
    let (v4, v6) = (monlist(OUTSIDER), monlist(OUTSIDER6));
    vec![
        malformed("UDP length past the packet", &v4.clone().udp_length(17)),
        malformed("UDP length past the packet, IPv6", &v6.clone().udp_length(17)),
        malformed("UDP length under its header", &v4.clone().udp_length(7)),
        malformed("UDP length 0", &v4.clone().udp_length(0)),
        mode7("UDP length 0 in IPv6 is up to the end", &v6.clone().udp_length(0)),
        mode7("UDP length shorter than the packet", &v4.clone().udp_length(9)),
        malformed("no payload, and padding that looks like one", &Frame::from(OUTSIDER, 40000)),
        malformed("UDP length without a payload", &v4.clone().udp_length(8)),
        mode7("bytes after the packet", &v4.clone().trailer(&[0; 100])),
        golden(
            "a time packet, and 0x17 after it",
            conf,
            &client(OUTSIDER).trailer(&[0x17; 9]),
            passes(Reason::Time),
        ),
        mode7(
            "IPv6 payload length 0 before hop-by-hop is up to the end",
            &v6.clone().extension(hop_by_hop(0)).ip_length(0),
        ),
        other("IPv6 payload length 0", &v6.clone().ip_length(0)),
        other("IPv6 payload length up to UDP's header", &v6.clone().ip_length(7)),
        other("IPv4 total length inside UDP's header", &v4.clone().ip_length(27)),
        other("IPv4 total length 0", &v4.clone().ip_length(0)),
        other("cut in the Ethernet header's last byte", &v4.clone().cut(14)),
        other("cut in the IPv4 header", &v4.clone().cut(33)),
        other("cut in the UDP header", &v4.clone().cut(41)),
        other("cut before the mode byte", &v4.clone().cut(42)),
        mode7("cut after the mode byte", &v4.clone().cut(43)),
        other("cut in an extension header", &v6.clone().extension(hop_by_hop(0)).cut(55)),
    ]
}

/// Frames whose headers aren't all in the first buffer.
fn buffers() -> Vec<Golden> {
    let conf = "pool.conf";
    let v6 = monlist(OUTSIDER6);
    let long = |frame: &Frame| frame.clone().extension(destination(255)).extension(destination(255));
    let mut all = vec![
        golden("UDP header in the second buffer", conf, &long(&v6), drops(Reason::Mode7)),
        golden("a client's in the second buffer", conf, &long(&client(OUTSIDER6)), passes(Reason::Time)),
        golden(
            "jumbo time packet",
            conf,
            &Frame::from(OUTSIDER, 40000).payload(&[time(3, 4), vec![0; 8000]].concat()),
            passes(Reason::Time),
        ),
        golden(
            "jumbo, cut before the mode byte",
            conf,
            &long(&v6).cut(14 + 40 + 2 * 2048 + 8),
            Expect::Untouched,
        ),
    ];
    for (name, linear) in [
        ("first buffer ends after Ethernet", 14),
        ("first buffer ends in IPv4", 20),
        ("first buffer ends after IPv4", 34),
        ("first buffer ends in UDP", 38),
        ("first buffer ends before the mode byte", 42),
    ] {
        let frame = monlist(OUTSIDER).trailer(&[0; 64]);
        all.push(Golden { linear: Some(linear), ..golden(name, conf, &frame, drops(Reason::Mode7)) });
    }
    all
}
