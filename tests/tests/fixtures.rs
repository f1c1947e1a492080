//! What each fixture compiles to: who may get time, who may query.

use ntpguard::{
    compile::{Hardening, Image},
    conf::Flags,
};
use ntpguard_common::abi::{Rule, Settings};
use ntpguard_tests::fixture::{FIXTURES, compile, path};
use std::fs;

/// `net: flags`, one a line, as a reviewer would write it.
fn shown(image: &Image) -> Vec<String> {
    let names = [
        (Rule::IGNORE, "ignore"),
        (Rule::NOSERVE, "noserve"),
        (Rule::NOQUERY, "noquery"),
        (Rule::UNLISTED, "unlisted"),
    ];
    let rule = |rule: &ntpguard::compile::ImageRule| {
        let flags: Vec<_> =
            names.iter().filter(|(bit, _)| rule.rule.has(*bit)).map(|(_, name)| *name).collect();
        format!("{}: {}", rule.net, flags.join(" "))
    };
    image.rules.iter().map(rule).collect()
}

fn image(text: &str, hardening: Hardening) -> Image {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    compile(Some(file.path()), hardening).unwrap().image
}

#[test]
fn every_fixture_loads_without_a_word() {
    for fixture in FIXTURES {
        let compiled = compile(fixture.map(path).as_deref(), Hardening::ALL).unwrap();
        assert_eq!(compiled.conf.diagnostics, [], "{fixture:?}");
        assert_eq!(compiled.policy.diagnostics, [], "{fixture:?}");
    }
}

#[test]
fn the_hosting_providers_advice() {
    // The name has two addresses, of which 4.2.6 takes one: its noquery is certain for neither.
    let hosting = compile(Some(&path("hosting.conf")), Hardening::ALL).unwrap().image;
    let mut wanted = vec![
        "0.0.0.0/0: ignore unlisted",
        "127.0.0.1/32: ",
        "203.0.113.123/32: unlisted",
        "::/0: ignore unlisted",
        "2001:db8:113::123/128: unlisted",
    ];
    assert_eq!(shown(&hosting), wanted);
    assert!(hosting.flags & Settings::NOBODY_QUERIES != 0, "127.0.0.1 never comes over a wire");
    let later = compile(Some(&path("hosting-monitor.conf")), Hardening::ALL).unwrap().image;
    wanted.insert(4, "::1/128: ");
    assert_eq!(shown(&later), wanted);
}

#[test]
fn defaults_and_the_absence_of_a_file() {
    let open = ["0.0.0.0/0: unlisted", "::/0: unlisted"];
    assert_eq!(shown(&compile(Some(&path("empty.conf")), Hardening::ALL).unwrap().image), open);
    assert_eq!(shown(&compile(None, Hardening::ALL).unwrap().image), open);
    let bare = compile(None, Hardening::NONE).unwrap().image;
    assert_eq!(shown(&bare), ["0.0.0.0/0: ", "::/0: "]);
    assert!(bare.flags & Settings::NOBODY_QUERIES == 0);
    let debian = compile(Some(&path("debian-ntpsec.conf")), Hardening::NONE).unwrap();
    assert_eq!(shown(&debian.image), ["0.0.0.0/0: noquery", "127.0.0.1/32: ", "::/0: noquery", "::1/128: "]);
    assert_eq!(debian.conf.associations.len(), 4);
    for (net, entry) in &debian.policy.entries {
        assert_eq!(entry.flags.has(Flags::LIMITED), net.prefix_len() == 0, "{net}");
    }
}

#[test]
fn networks_and_merging() {
    let lan = compile(Some(&path("lan.conf")), Hardening::ALL).unwrap().image;
    assert_eq!(shown(&lan), ["0.0.0.0/0: unlisted", "192.0.2.0/24: ", "::/0: unlisted"]);
    let merged = image(
        "restrict 192.0.2.77 mask 255.255.255.0 ignore\nrestrict 192.0.2.0 mask 255.255.255.0 noquery",
        Hardening::NONE,
    );
    assert_eq!(shown(&merged)[1], "192.0.2.0/24: ignore noquery");
    let default = image("restrict 0.0.0.0 mask 0.0.0.0 ignore\nrestrict 0.0.0.0 noserve", Hardening::NONE);
    assert_eq!(shown(&default), ["0.0.0.0/0: ignore", "0.0.0.0/32: noserve", "::/0: "]);
}

#[test]
fn what_the_daemons_read_differently_drops_nothing() {
    for text in [
        "restrict 192.0.2.0/24 ignore",
        "restrict -4 192.0.2.0 mask 255.255.255.0 ignore",
        "restrict 192.0.2.0 mask 255.255.255.0 ignore ntpport",
        "restrict 192.0.2.0 mask 255.255.255.0 ignore\nunrestrict 192.0.2.0 mask 255.255.255.0 ignore",
    ] {
        let image = image(text, Hardening::NONE);
        assert_eq!(shown(&image), ["0.0.0.0/0: ", "192.0.2.0/24: ", "::/0: "], "{text}");
    }
}

#[test]
fn to_undo_is_not_to_permit() {
    let image = image("unrestrict 192.0.2.0 mask 255.255.255.0\nunrestrict default noquery", Hardening::ALL);
    assert_eq!(shown(&image), ["0.0.0.0/0: unlisted", "::/0: unlisted"]);
}

#[test]
fn a_mask_with_gaps_blurs_what_it_may_cover() {
    let image = image(
        "restrict default ignore\nrestrict 10.0.0.5 mask 255.0.0.255\nrestrict 10.1.0.0 mask 255.255.0.0 ignore\n\
         restrict 11.1.0.0 mask 255.255.0.0 noserve",
        Hardening::NONE,
    );
    assert_eq!(
        shown(&image),
        ["0.0.0.0/0: ignore", "10.0.0.0/8: ", "10.1.0.0/16: ", "11.1.0.0/16: noserve", "::/0: ignore"]
    );
}

#[test]
fn a_source_line_opens_every_network_to_associations_but_no_listed_host() {
    let image = image(
        "restrict default ignore\nrestrict source noquery\nrestrict 192.0.2.9 noserve",
        Hardening::NONE,
    );
    assert_eq!(shown(&image), ["0.0.0.0/0: noquery", "192.0.2.9/32: noserve", "::/0: noquery"]);
    let both = self::image("restrict default noquery\nrestrict source noquery nomodify", Hardening::NONE);
    assert_eq!(shown(&both), ["0.0.0.0/0: noquery", "::/0: noquery"]);
}

#[test]
fn a_mask_with_gaps_lists_only_what_a_line_permits() {
    let closed = image("restrict 10.0.0.5 mask 255.0.255.255 noquery", Hardening::ALL);
    assert_eq!(shown(&closed), ["0.0.0.0/0: unlisted", "10.0.0.0/8: unlisted", "::/0: unlisted"]);
    let open = image("restrict 10.0.0.5 mask 255.0.255.255 nomodify", Hardening::ALL);
    assert_eq!(shown(&open)[1], "10.0.0.0/8: ");
}

#[test]
fn a_name_with_a_mask_may_be_a_network_or_a_host() {
    let friend =
        image("restrict default ignore\nrestrict ntp1.example.net mask 255.255.255.0", Hardening::NONE);
    assert_eq!(
        shown(&friend),
        [
            "0.0.0.0/0: ignore",
            "203.0.113.0/24: ",
            "203.0.113.123/32: ",
            "::/0: ignore",
            "2001:db8:113::123/128: "
        ]
    );
}

#[test]
fn lines_out_of_reach_leave_only_hardening() {
    let blind = image("restrict default ignore\nincludefile /nonexistent/ntp.conf", Hardening::ALL);
    assert_eq!(shown(&blind), ["0.0.0.0/0: unlisted", "::/0: unlisted"]);
}
