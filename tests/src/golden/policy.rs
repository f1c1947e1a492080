//! Who sent it: sources that can't be, ports that make loops, and the restrict lines of the fixtures.

use super::{Expect, Golden, OUTSIDER, OUTSIDER6, client, drops, golden, monlist, passes};
use crate::frame::{
    Frame,
    payload::{MONLIST, READVAR, time},
};
use ntpguard_common::Reason;

/// All of them.
pub(super) fn cases() -> Vec<Golden> {
    [sources(), rules()].concat()
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
