//! The rules that each fixture compiles to: which sources may get time, and which may query.

use ntpguard::{
    compile::{Hardening, Image},
    daemon::dialect::Dialect::{self, Ntp426, Ntp428, NtpSec},
    policy::network,
};
use ntpguard_common::{
    Lookup as _,
    abi::{PolicyWord, Rule},
};
use ntpguard_tests::fixture::{Compiled, DIALECTS, FIXTURES, compile, path};
use std::fs;

/// The flags of ntp.conf that drop packets.
const DROPS: u32 = Rule::IGNORE | Rule::NOSERVE | Rule::NOQUERY | Rule::VERSION | Rule::NOTRUST;

/// The rules as `net: flags`, in the daemon's order and in the form in which a reviewer would write them.
fn shown(image: &Image) -> Vec<String> {
    let names = [
        (Rule::IGNORE, "ignore"),
        (Rule::NOSERVE, "noserve"),
        (Rule::NOQUERY, "noquery"),
        (Rule::VERSION, "version"),
        (Rule::NOTRUST, "notrust"),
        (Rule::UNLISTED, "unlisted"),
    ];
    let rule = |rule: ntpguard::compile::ImageRule<'_>| {
        let flags: Vec<_> =
            names.iter().filter(|(bit, _)| rule.rule.has(*bit)).map(|(_, name)| *name).collect();
        let port = if rule.ntpport { " ntpport" } else { "" };
        format!("{}{port}: {}", rule.net, flags.join(" "))
    };
    image.rules.iter().map(rule).collect()
}

fn compiled(text: &str, dialect: Dialect, hardening: Hardening) -> Compiled {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    compile(Some(file.path()), dialect, hardening).unwrap()
}

fn image(text: &str, dialect: Dialect, hardening: Hardening) -> Image {
    compiled(text, dialect, hardening).image
}

/// The rule that applies to a source.
fn rule(image: &Image, source: &str, port: u16) -> Rule {
    image.rule(0, &network::source(source.parse().unwrap()), port)
}

fn bare(text: &str, dialect: Dialect) -> Vec<String> {
    shown(&image(text, dialect, Hardening::NONE))
}

#[test]
fn every_fixture_loads_without_a_word() {
    for dialect in DIALECTS {
        for fixture in FIXTURES {
            let compiled = compile(fixture.map(path).as_deref(), dialect, Hardening::ALL).unwrap();
            assert_eq!(compiled.conf.diagnostics, [], "{fixture:?}");
        }
    }
}

#[test]
fn the_hosting_providers_advice() {
    let hosting = compile(Some(&path("hosting.conf")), Ntp428, Hardening::ALL).unwrap().image;
    let mut wanted = vec![
        "203.0.113.123/32: noquery unlisted",
        "127.0.0.1/32: ",
        "0.0.0.0/0: ignore unlisted",
        "2001:db8:113::123/128: noquery unlisted",
        "::/0: ignore unlisted",
    ];
    assert_eq!(shown(&hosting), wanted);
    assert!(hosting.flags & PolicyWord::NOBODY_CONTROL != 0, "127.0.0.1 never comes over a wire");
    let later = compile(Some(&path("hosting-monitor.conf")), Ntp428, Hardening::ALL).unwrap().image;
    wanted.insert(4, "::1/128: ");
    assert_eq!(shown(&later), wanted);
}

#[test]
fn of_a_name_with_two_addresses_4_2_6_takes_one_and_so_neither_drops() {
    let hosting = compile(Some(&path("hosting.conf")), Ntp426, Hardening::NONE).unwrap();
    let flags = rule(&hosting.image, "203.0.113.123", 40_000).flags;
    assert_eq!(flags & DROPS, Rule::NOQUERY, "ignored if not taken");
    let open = image("restrict ntp1.example.net noserve", Ntp426, Hardening::NONE);
    assert_eq!(rule(&open, "203.0.113.123", 40_000).flags & DROPS, 0);
}

#[test]
fn defaults_and_the_absence_of_a_file() {
    let open = ["0.0.0.0/0: unlisted", "::/0: unlisted"];
    assert_eq!(shown(&compile(Some(&path("empty.conf")), Ntp428, Hardening::ALL).unwrap().image), open);
    assert_eq!(shown(&compile(None, Ntp428, Hardening::ALL).unwrap().image), open);
    let classic = compile(None, Ntp426, Hardening::NONE).unwrap().image;
    assert_eq!(shown(&classic), ["0.0.0.0/0: ", "::/0: "]);
    assert!(classic.flags & (PolicyWord::NOBODY_CONTROL | PolicyWord::NOBODY_PRIVATE) == 0);
    let sec = compile(None, NtpSec, Hardening::NONE).unwrap().image;
    assert_eq!(shown(&sec), ["0.0.0.0/0: noquery", "::/0: noquery"]);
    let debian = compile(Some(&path("debian-ntpsec.conf")), NtpSec, Hardening::NONE).unwrap();
    assert_eq!(shown(&debian.image), ["127.0.0.1/32: ", "0.0.0.0/0: noquery", "::1/128: ", "::/0: noquery"]);
    assert_eq!(debian.conf.associations.len(), 4);
}

#[test]
fn networks_and_merging() {
    let lan = compile(Some(&path("lan.conf")), Ntp428, Hardening::ALL).unwrap().image;
    assert_eq!(shown(&lan), ["192.0.2.0/24: ", "0.0.0.0/0: unlisted", "::/0: unlisted"]);
    let merged =
        "restrict 192.0.2.77 mask 255.255.255.0 ignore\nrestrict 192.0.2.0 mask 255.255.255.0 noquery";
    assert_eq!(bare(merged, Ntp426)[0], "192.0.2.0/24: ignore noquery");
    let default = "restrict 0.0.0.0 mask 0.0.0.0 ignore\nrestrict 0.0.0.0 noserve";
    assert_eq!(bare(default, Ntp426), ["0.0.0.0/32: noserve", "0.0.0.0/0: ignore", "::/0: "]);
}

#[test]
fn the_same_line_means_three_things() {
    let cidr = "restrict 192.0.2.0/24 ignore";
    assert_eq!(DIALECTS.map(|dialect| bare(cidr, dialect).len()), [2, 2, 3]);
    let family = "restrict -4 192.0.2.0 mask 255.255.255.0 ignore";
    let first = DIALECTS.map(|dialect| bare(family, dialect).remove(0));
    assert_eq!(first, ["192.0.2.0/32: ", "192.0.2.0/24: ignore", "192.0.2.0/32: "]);
    let undone = "restrict 192.0.2.1 ignore noquery\nunrestrict 192.0.2.1 ignore";
    let first = DIALECTS.map(|dialect| bare(undone, dialect).remove(0));
    assert_eq!(
        first,
        ["192.0.2.1/32: ignore noquery", "192.0.2.1/32: ignore noquery", "192.0.2.1/32: noquery"]
    );
    let lifted = "unrestrict default noquery limited";
    assert_eq!(bare(lifted, NtpSec), ["0.0.0.0/0: ", "::/0: "]);
    let removed = "restrict 192.0.2.1 ignore\nunrestrict 192.0.2.1 nopeer";
    assert_eq!(bare(removed, NtpSec), ["0.0.0.0/0: noquery", "::/0: noquery"], "nopeer is no flag there");
}

#[test]
fn a_mask_of_the_other_family_speaks_of_everyone() {
    for dialect in DIALECTS {
        let rules = bare("restrict 192.0.2.1 mask ffff:: ignore", dialect);
        assert!(rules[0].starts_with("0.0.0.0/0: ignore"), "{rules:?}");
    }
}

#[test]
fn an_ntpport_line_after_one_without_is_unreachable_in_p18() {
    let text = "restrict 192.0.2.7 noserve\nrestrict 192.0.2.7 ignore ntpport";
    let port_123 = |dialect| {
        let image = image(text, dialect, Hardening::NONE);
        rule(&image, "192.0.2.7", 123).flags & DROPS
    };
    assert_eq!(DIALECTS.map(port_123), [Rule::IGNORE, Rule::NOSERVE, Rule::IGNORE]);
}

#[test]
fn a_source_line_opens_every_network_to_associations_but_no_listed_host() {
    let text =
        "server 203.0.113.1\nrestrict default ignore\nrestrict source noquery\nrestrict 192.0.2.9 noserve";
    let yields = |text, dialect, source| {
        let image = image(text, dialect, Hardening::NONE);
        rule(&image, source, 123).has(Rule::YIELDS)
    };
    assert!(yields(text, Ntp428, "198.51.100.1") && yields(text, NtpSec, "198.51.100.1"));
    assert!(DIALECTS.map(|dialect| yields(text, dialect, "192.0.2.9")).iter().all(|yields| !yields));
    // NTPsec makes an exception only where the association would fail without it.
    let noserve = "server 203.0.113.1\nrestrict default noserve\nrestrict source";
    assert!(yields(noserve, Ntp428, "198.51.100.1") && !yields(noserve, NtpSec, "198.51.100.1"));
    assert_eq!(bare(noserve, NtpSec)[0], "0.0.0.0/0: noserve noquery");
    let nobody = "restrict default ignore\nrestrict source";
    assert!(yields(nobody, Ntp428, "198.51.100.1"), "the daemon's command line may name some");
}

#[test]
fn lines_out_of_reach_leave_only_hardening() {
    let blind = image("restrict default ignore\nincludefile relative.conf", Ntp428, Hardening::ALL);
    assert_eq!(shown(&blind), ["0.0.0.0/0: unlisted", "::/0: unlisted"]);
    let absent = image("restrict default ignore\nincludefile /nonexistent/ntp.conf", Ntp428, Hardening::ALL);
    assert_eq!(shown(&absent)[0], "0.0.0.0/0: ignore unlisted", "the daemon goes on without it, too");
}

#[test]
fn what_an_unread_file_may_say_is_not_dropped() {
    let text = "includefile relative.conf\nrestrict default noquery";
    let settings = |dialect| image(text, dialect, Hardening::NONE).flags;
    assert!(settings(Ntp428) & PolicyWord::NOBODY_PRIVATE == 0, "enable mode7");
    let missing = "includefile /nonexistent/ntp.conf\nrestrict 192.0.2.1";
    let keyless = image(missing, NtpSec, Hardening::NONE).rules.get(0).unwrap().rule;
    assert!(keyless.has(Rule::NO_MAC), "the daemon goes on without it, and without keys");
    let keys = image("trustedkey 5\nrestrict 192.0.2.1", NtpSec, Hardening::NONE).rules.get(0).unwrap().rule;
    assert!(!keys.has(Rule::NO_MAC));
}

#[test]
fn a_doubtful_line_adds_nothing_to_a_certain_entry() {
    for text in [
        "restrict ntp1.example.net ignore\nrestrict 203.0.113.123 nomodify",
        "restrict 203.0.113.123 nomodify\nrestrict ntp1.example.net ignore",
    ] {
        let image = image(text, Ntp426, Hardening::NONE);
        assert_eq!(rule(&image, "203.0.113.123", 40_000).flags & DROPS, 0, "{text}");
    }
    let masked = image(
        "restrict default ignore\nrestrict ntp1.example.net mask 255.0.255.0 ignore",
        Ntp426,
        Hardening::NONE,
    );
    assert_eq!(masked.masks[0][0].rule.flags, 0, "a gap in doubt opens what it holds");
}

#[test]
fn own_and_impossible_sources_may_query_where_they_are_not_hardened_away() {
    for line in ["restrict 127.0.0.1", "restrict 198.18.0.1"] {
        let text = format!("restrict default noquery\n{line}");
        assert!(image(&text, Ntp428, Hardening::NONE).flags & PolicyWord::NOBODY_CONTROL == 0, "{line}");
        assert!(image(&text, Ntp428, Hardening::ALL).flags & PolicyWord::NOBODY_CONTROL != 0, "{line}");
    }
}

#[test]
fn mssntp_is_a_permission_and_nothing_takes_it_away() {
    let masks: String = (1..18).map(|n| format!("restrict 10.0.0.{n} mask 255.0.0.255\n")).collect();
    let text = format!("restrict default mssntp\n{masks}restrict 10.0.0.0 mask 255.0.0.0 mssntp");
    let image = image(&text, NtpSec, Hardening::NONE);
    assert!(!rule(&image, "10.200.0.200", 40_000).has(Rule::NO_MAC));
}

#[test]
fn an_undone_line_is_not_to_blame() {
    let text = "restrict 192.0.2.1 noquery\nunrestrict 192.0.2.1 noquery\nrestrict 192.0.2.1 noquery";
    let Compiled { conf, image, .. } = compiled(text, NtpSec, Hardening::NONE);
    let line = image.rules.get(0).unwrap().cause(ntpguard_common::Reason::Noquery).unwrap();
    assert_eq!(conf.place(line.index).span.line, 3);
}
