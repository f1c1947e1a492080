//! The sender: impossible sources, ports that cause loops, and the restrict lines of the fixtures.

use super::case::{Expect, Golden, OUTSIDER, OUTSIDER6, client, drops, golden, monlist, passes};
use crate::frame::{
    Frame,
    payload::{MONLIST, READVAR, time},
};
use ntpguard::daemon::dialect::Dialect;
use ntpguard_common::Reason;

/// All cases of this file.
pub(super) fn cases() -> Vec<Golden> {
    [sources(), rules(), daemons(), gaps()].concat()
}

/// Impossible sources, and source ports that cause loops.
fn sources() -> Vec<Golden> {
    let conf = "hosting.conf"; // has `restrict 127.0.0.1`, which allows everything
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
        let client = golden(name, "pool.conf", &frame.payload(&time(3, 4)), passes(Reason::Time));
        all.push(client.clone().before(Dialect::NtpSec));
        let refused = |yes| if yes { drops(Reason::SourcePort) } else { passes(Reason::Time) };
        all.push(Golden { expect: refused(port == 0), ..client.clone() }.before(Dialect::Ntp428));
        all.push(Golden { expect: refused(port < 123), ..client });
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

/// Packets that one daemon discards and another accepts (ntp_proto.c:receive of each).
fn daemons() -> Vec<Golden> {
    use Dialect::{Ntp426, Ntp428, NtpSec};
    let mut all = Vec::new();
    let mut case = |name, payload: &[u8], reasons: [Reason; 3]| {
        let frame = Frame::from(OUTSIDER, 40000).payload(payload);
        for (dialect, reason) in [Ntp426, Ntp428, NtpSec].into_iter().zip(reasons) {
            all.push(golden(name, "pool.conf", &frame, Expect::Counted(reason, None)).before(dialect));
        }
    };
    use Reason::{Mac, Malformed, Mode, Time};
    let client = time(3, 4);
    let with = |trailer: &[u8]| [client.as_slice(), trailer].concat();
    let mac = [&[0, 0, 0, 9], [0xaa; 16].as_slice()].concat();
    let field = [&[0, 0, 0, 28], [0xaa; 24].as_slice()].concat();
    case("symmetric active", &time(1, 4), [Time; 3]);
    case("symmetric passive", &time(2, 4), [Time, Time, Mode]);
    case("broadcast", &time(5, 4), [Time, Time, Mode]);
    case("version 5", &time(3, 5), [Time, Time, Malformed]);
    case("version 1 in mode 0", &time(0, 1), [Time; 3]);
    case("a MAC of an unknown key", &with(&mac), [Time, Time, Mac]);
    // 4.2.8's limiter may answer this packet with a kiss, since pool.conf says `limited kod`; otherwise 4.2.8 discards it.
    case("a MAC of 4 bytes", &with(&[0; 4]), [Time, Time, Malformed]);
    case("a MAC of 8 bytes", &with(&[0; 8]), [Time, Time, Malformed]);
    case("3 bytes too many", &with(&[0; 3]), [Malformed; 3]);
    case("an extension field", &with(&field), [Time; 3]);
    case("an extension field and a MAC", &with(&[field.clone(), mac].concat()), [Time; 3]);
    case("an extension field of length 0", &with(&[0; 28]), [Malformed, Malformed, Time]);
    let nak = Frame::from(OUTSIDER, 40000).payload(&with(&[0; 4]));
    let unlimited = golden("a MAC of 4 bytes, and no kiss", "lan.conf", &nak, drops(Malformed));
    all.push(unlimited.before(Ntp428));
    all
}

/// Non-contiguous masks, port 123, and the flags `version` and `notrust`.
fn gaps() -> Vec<Golden> {
    use Expect::Counted;
    let conf = "gaps.conf";
    let from = |source, port, payload: &[u8]| Frame::from(source, port).payload(payload);
    let plain = time(3, 4);
    let old = time(3, 3);
    let mac = [plain.as_slice(), &[0, 0, 0, 9], &[0xaa; 16]].concat();
    let notrust = Counted(Reason::Notrust, Some(2));
    vec![
        golden("notrust without a MAC", conf, &from(OUTSIDER, 40000, &plain), notrust),
        golden("notrust with a MAC", conf, &from(OUTSIDER, 40000, &mac), passes(Reason::Time)),
        golden("a gap", conf, &from("10.9.8.5", 40000, &plain), Counted(Reason::Ignore, Some(3))),
        golden("beside a gap", conf, &from("10.9.8.6", 40000, &plain), notrust),
        golden(
            "a gap stands before a /16",
            conf,
            &from("10.0.7.5", 40000, &plain),
            Counted(Reason::Ignore, Some(3)),
        ),
        golden("the /16", conf, &from("10.0.7.6", 40000, READVAR), Counted(Reason::Noquery, Some(4))),
        golden(
            "a /16 before the gap",
            conf,
            &from("10.1.7.5", 40000, &old),
            Counted(Reason::Version, Some(5)),
        ),
        golden("version 4", conf, &from("10.1.7.5", 40000, &plain), passes(Reason::Time)),
        golden("version and a query", conf, &from("10.1.7.5", 40000, READVAR), passes(Reason::Query)),
        golden(
            "version and a query, NTPsec",
            conf,
            &from("10.1.7.5", 40000, READVAR),
            Counted(Reason::Version, Some(5)),
        )
        .before(Dialect::NtpSec),
        golden("port 123", conf, &from("10.1.0.5", 123, &plain), Counted(Reason::Noserve, Some(6))),
        golden("another port", conf, &from("10.1.0.5", 124, &plain), passes(Reason::Time)),
        golden("an IPv6 gap", conf, &from("2001:db8:7::5", 40000, &plain), Counted(Reason::Ignore, Some(8))),
        golden(
            "a host before the gap",
            conf,
            &from("2001:db8:1::5", 40000, &old),
            Counted(Reason::Version, Some(9)),
        ),
        golden("port 123 in IPv6", conf, &from("2001:db8:1::6", 123, &plain), passes(Reason::Time)),
        golden("another port in IPv6", conf, &from("2001:db8:1::6", 124, &plain), notrust),
        golden("own address", conf, &from("198.18.0.1", 40000, &plain), drops(Reason::ImpossibleSource)),
        golden(
            "own IPv6 address",
            conf,
            &from("2001:db8:ffff::1", 123, &plain),
            drops(Reason::ImpossibleSource),
        ),
    ]
}
