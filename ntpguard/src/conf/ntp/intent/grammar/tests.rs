//! Lines as the three daemons' parsers read them.

use super::*;
use crate::{conf::ntp::parse, daemon::dialect::Daemon};
use std::path::Path;

/// What of a line is reported as lost: nothing, a part, or all.
fn lost(text: &str, dialect: Dialect) -> &'static str {
    let conf = parse(Path::new("ntp.conf"), text.as_bytes(), Daemon::new(dialect)).unwrap();
    match &conf.diagnostics[..] {
        [] => "",
        [found] if found.message.ends_with("drops the whole line") => "all",
        [found] if found.message.ends_with("and what follows") => "rest",
        [found] if found.code == Code::UnknownKeyword => "all",
        found => panic!("{dialect}: {text}: {found:?}"),
    }
}

#[test]
fn lines_as_the_parsers_take_them() {
    for (text, wanted) in [
        ("server 192.0.2.1 iburst minpoll 4 maxpoll 10 prefer key 5", ["", "", ""]),
        ("server -4 ntp.example.net iburst", ["", "", ""]),
        ("server pool iburst", ["", "", ""]),
        ("server", ["all", "all", "all"]),
        ("server -6", ["all", "all", "all"]),
        ("server 192.0.2.1 ibrust", ["rest", "rest", "rest"]),
        ("server 192.0.2.1 iburst, prefer", ["rest", "rest", "rest"]),
        ("server 192.0.2.1 minpoll", ["all", "all", "all"]),
        ("server 192.0.2.1 minpoll six", ["all", "all", "all"]),
        ("server 192.0.2.1 minpoll 4.5", ["all", "all", "all"]),
        ("server 192.0.2.1 key 0x10", ["all", "", ""]),
        ("server 192.0.2.1 autokey", ["", "", "rest"]),
        ("server 192.0.2.1 nts", ["rest", "rest", ""]),
        ("server 192.0.2.1 bias 0.1", ["", "rest", ""]),
        ("server 192.0.2.1 \"iburst\"", ["rest", "rest", "rest"]),
        ("peer 2001:db8::1 xleave key 1", ["", "", "rest"]),
        ("pool 0.pool.example.net iburst maxpoll 9", ["", "", ""]),
        ("broadcast 192.168.1.255 ttl 4", ["", "", "all"]),
        ("broadcastclient novolley", ["rest", "rest", "all"]),
        ("multicastclient", ["all", "all", "all"]),
        ("multicastclient 224.0.1.1 -6 ff05::101", ["", "", "all"]),
        ("keys /etc/ntp.keys", ["", "", ""]),
        ("keys", ["all", "all", "all"]),
        ("keys /etc/ntp.keys 5", ["rest", "rest", "rest"]),
        ("trustedkey 1 2 (3 ... 9) 12", ["", "", ""]),
        ("trustedkey", ["all", "all", "all"]),
        ("trustedkey 1,2", ["rest", "rest", "rest"]),
        ("trustedkey (3...9)", ["all", "all", "all"]),
        ("controlkey one", ["all", "all", "all"]),
        ("requestkey 8", ["", "", ""]),
        ("interface listen eth0", ["", "", ""]),
        ("interface listen 192.0.2.1", ["", "", ""]),
        ("nic ignore wildcard", ["", "", ""]),
        ("interface drop ipv6", ["", "", ""]),
        ("interface eth0", ["all", "all", "all"]),
        ("interface listen", ["all", "all", "all"]),
        ("interface listen eth0 eth1", ["rest", "rest", "rest"]),
        ("tinker panic 0 step 0.128", ["", "", ""]),
        ("tinker panic", ["all", "all", "all"]),
        ("tinker panic none", ["all", "all", "all"]),
        ("tinker stepback 1", ["all", "", ""]),
        ("tinker", ["all", "all", "all"]),
        ("tos minclock 4 minsane 3 maxclock 11", ["", "", ""]),
        ("tos maxclock 5.5", ["", "all", ""]),
        ("tos orphanwait 1", ["all", "", ""]),
        ("tos minsane=3", ["all", "all", "all"]),
        ("tos basedate 2018-01-01", ["all", "", "all"]),
        ("statistics loopstats peerstats", ["", "", ""]),
        ("statistics loopstat", ["all", "all", "all"]),
        ("filegen loopstats file loopstats type day enable", ["", "", ""]),
        ("filegen loopstats type daily enable", ["all", "all", "all"]),
        ("filegen loopstats day", ["rest", "rest", "rest"]),
        ("fudge 127.127.1.0 stratum 10", ["", "", ""]),
        ("fudge 127.127.20.0 time1 0.5 flag1 1 refid PPS", ["", "", ""]),
        ("fudge 127.127.1.0", ["all", "all", "all"]),
        ("driftfile /var/lib/ntp/drift", ["", "", ""]),
        ("driftfile", ["", "", ""]),
        ("driftfile /var/lib/ntp/drift 0.5", ["", "", ""]),
        ("logconfig =syncall +clockall", ["", "", ""]),
        ("leapfile \"/etc/ntp/leap seconds\"", ["", "", ""]),
        ("leapfile /etc/leap ignorehash", ["rest", "", "rest"]),
        ("setvar foo = bar default", ["", "", ""]),
        ("crypto", ["", "", "all"]),
        ("crypto pw secret host a.example.net", ["", "", "all"]),
        ("crypto cert a", ["rest", "rest", "all"]),
        ("rlimit memlock -1", ["all", "", ""]),
        ("nts enable", ["all", "all", ""]),
        ("nts key /etc/ntpsec/key.pem cert /etc/ntpsec/cert.pem", ["all", "all", ""]),
        ("nts maxtls 1.3", ["all", "all", "all"]),
        ("refclock shm unit 0 refid GPS minpoll 4", ["all", "all", ""]),
        ("refclock nmea mode 17 flag1 1 time2 0.5", ["all", "all", ""]),
        ("panic 0", ["all", "all", "all"]),
        ("iburst", ["all", "all", "all"]),
        ("ttl 1 2 3", ["", "", "all"]),
        ("trap 192.0.2.9 port 162 interface 192.0.2.1", ["", "", "all"]),
    ] {
        assert_eq!([Ntp426, Ntp428, NtpSec].map(|dialect| lost(text, dialect)), wanted, "{text}");
    }
}

#[test]
fn every_option_is_a_keyword_of_its_daemons() {
    let options = OPTIONS.iter().map(|(_, dialects, names, _)| (*dialects, *names));
    let commands = COMMANDS.iter().map(|(dialects, names, _)| (*dialects, *names));
    for (dialects, names) in options.chain(commands) {
        for name in names.split(' ') {
            let known = crate::conf::ntp::keywords::dialects(name);
            assert!(dialects.iter().all(|dialect| known.contains(dialect)), "{name}");
        }
    }
}
