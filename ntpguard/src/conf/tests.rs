//! Lines as the daemons read them: the table of semantics, a test each.

use super::*;
use std::net::IpAddr;

fn parse(text: &str) -> ConfFile {
    let mut conf = ConfFile { files: vec!["ntp.conf".into()], ..ConfFile::default() };
    for (number, text) in (1..).zip(text.split('\n')) {
        line(&mut conf, &Line { file: 0, number, text: text.as_bytes(), uncertain: false });
    }
    conf
}

fn only(text: &str) -> Restrict {
    let conf = parse(text);
    assert_eq!(conf.restricts.len(), 1, "{text}: {:?}", conf.diagnostics);
    conf.restricts[0].clone()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn the_shapes_of_a_restrict_line() {
    for (text, target, mask, flags) in [
        ("restrict default ignore", Target::Default, None, "ignore"),
        ("restrict 192.0.2.7", Target::Address(address("192.0.2.7")), None, ""),
        ("restrict [2001:db8::7%eth0] noquery", Target::Address(address("2001:db8::7")), None, "noquery"),
        ("restrict [2001:db8::7]:123 noquery", Target::Address(address("2001:db8::7")), None, "noquery"),
        ("restrict [192.0.2.7] noquery", Target::Name("[192.0.2.7]".into()), None, "noquery"),
        ("restrict 192.0.2.7%eth0 noquery", Target::Name("192.0.2.7%eth0".into()), None, "noquery"),
        (
            "restrict 2001:db8:: mask [ffff:ffff::] ignore",
            Target::Address(address("2001:db8::")),
            Some(address("ffff:ffff::")),
            "ignore",
        ),
        (
            "restrict 192.0.2.0 mask 255.255.255.0 nomodify notrap",
            Target::Address(address("192.0.2.0")),
            Some(address("255.255.255.0")),
            "nomodify notrap",
        ),
        (
            "restrict ntp1.example.net noserve noserve",
            Target::Name("ntp1.example.net".into()),
            None,
            "noserve",
        ),
        ("restrict source limited kod", Target::Source, None, "limited kod"),
    ] {
        let restrict = only(text);
        assert_eq!((restrict.target, restrict.mask), (target, mask), "{text}");
        assert_eq!(restrict.flags.to_string(), flags, "{text}");
        assert!(!restrict.uncertain, "{text}");
    }
    assert_eq!(only("restrict -6 default ignore").family, Some(Family::V6));
}

#[test]
fn what_stands_before_a_bad_word_takes_effect() {
    for (text, flags) in [
        ("restrict 192.0.2.7 ignore bogus", "ignore"),
        ("restrict 192.0.2.7 bogus ignore", ""),
        ("restrict 192.0.2.7 IGNORE", ""),
        ("restrict 192.0.2.7 \"ignore\"", ""),
        ("restrict 192.0.2.7 ignore,noquery", "ignore"),
        ("restrict 192.0.2.0 ignore mask 255.255.255.0", "ignore"),
        ("restrict default mask 0.0.0.0 ignore", ""),
        ("restrict source mask 0.0.0.0 ignore", ""),
    ] {
        let conf = parse(text);
        assert_eq!(conf.restricts[0].flags.to_string(), flags, "{text}");
        assert_eq!(conf.restricts[0].mask, None, "{text}");
        assert_eq!(conf.diagnostics.len(), 1, "{text}");
    }
}

#[test]
fn a_flag_after_a_word_that_some_daemon_does_not_know_is_left_to_the_daemon() {
    assert_eq!(only("restrict default noquery noepeer ignore").flags.to_string(), "noquery noepeer");
    assert_eq!(only("restrict default ippeerlimit 1 ignore nomodify").flags.to_string(), "nomodify");
    let fuzzed = only("restrict 192.0.2.7 ignore serverresponse fuzz ntpport").flags;
    assert!(fuzzed.has(Flags::IGNORE) && fuzzed.has(Flags::NTPPORT));
}

#[test]
fn lines_that_have_no_effect() {
    for text in [
        "restrict",
        "restrict -4",
        "restrict 10 ignore",
        "restrict 10.1 ignore",
        "restrict 192.0.2.0 mask 24 ignore",
        "restrict 192.0.2.0 mask",
        "Restrict default ignore",
        "restict default ignore",
    ] {
        let conf = parse(text);
        assert_eq!((conf.restricts.len(), conf.diagnostics.len()), (0, 1), "{text}");
    }
}

#[test]
fn lines_that_the_daemons_read_differently() {
    for text in [
        "restrict 192.0.2.0/24 ignore",
        "restrict 192.0.2.0/24x ignore",
        "restrict -4 192.0.2.0 mask 255.255.255.0 ignore",
        "restrict 192.0.2.7\u{e4} ignore",
        "restrict default \u{2013} ignore",
        "restrict -6 192.0.2.7 ignore",
        "restrict 0xc0000207 ignore",
        "restrict gateway ignore",
        "restrict ntp1.example.net/24 ignore",
    ] {
        assert!(only(text).uncertain, "{text}");
        assert_eq!(parse(text).diagnostics.len(), 1, "{text}");
    }
    assert_eq!(only("restrict 192.0.2.0/24x ignore").mask, Some(address("255.255.255.0")));
    assert_eq!(only("restrict 192.0.2.0/+24 ignore").mask, Some(address("255.255.255.0")));
    assert_eq!(only("restrict 0.0.0.0/0 ignore").mask, None);
    assert_eq!(only("restrict 192.0.2.0/0 mask 255.0.0.0").mask, Some(address("255.0.0.0")));
    assert!(only("unrestrict default noquery").undoes);
}

#[test]
fn the_rest_of_the_language_makes_no_noise() {
    let conf = parse(
        "server -4 ntp1.example.net iburst # ours\npool 0.pool.example.net\npeer 2001:db8::5\ndisable monitor\n\
         driftfile \"/var/lib/ntp drift\"\ntos maxclock 11\nbogus words here\nstatistics loopstats\r\n\n   \n",
    );
    assert_eq!(conf.diagnostics, []);
    let hosts: Vec<_> = conf.associations.iter().map(|association| association.host.as_str()).collect();
    assert_eq!(hosts, ["ntp1.example.net", "0.pool.example.net", "2001:db8::5"]);
}

#[test]
fn no_bytes_make_it_panic() {
    let mut state = 7_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let pieces: [&[u8]; 12] = [
        b"restrict ",
        b"default ",
        b"mask ",
        b"\"",
        b"#",
        b"192.0.2.1 ",
        b"/",
        b"-4 ",
        b"ippeerlimit ",
        b"%",
        b"[",
        b"=",
    ];
    for _ in 0..20_000 {
        let mut text = Vec::new();
        for _ in 0..next() % 12 {
            match pieces.get(usize::from(next() % 16)) {
                Some(piece) => text.extend_from_slice(piece),
                None => text.push(next()),
            }
        }
        let mut conf = ConfFile { files: vec!["ntp.conf".into()], ..ConfFile::default() };
        line(&mut conf, &Line { file: 0, number: 1, text: &text, uncertain: false });
    }
}

#[test]
fn includes_are_read_and_loops_end() {
    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name);
    std::fs::write(path("a"), format!("includefile {}\nrestrict 192.0.2.2\n", path("b").display())).unwrap();
    std::fs::write(path("b"), "restrict 192.0.2.1 ignore\nincludefile /nonexistent\n").unwrap();
    let conf = read(Some(&path("a"))).unwrap();
    assert_eq!(conf.files, [path("a"), path("b")]);
    assert_eq!(conf.restricts.iter().map(|line| line.place.file).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(conf.diagnostics.len(), 1, "the missing file is reported");
    assert!(conf.blind, "and what it says might have been a permission");

    std::fs::write(path("loop"), format!("restrict 192.0.2.3\nincludefile {}\n", path("loop").display()))
        .unwrap();
    let conf = read(Some(&path("loop"))).unwrap();
    assert_eq!(conf.restricts.len(), 6);
    assert!(conf.diagnostics[0].message.contains("include itself"));

    std::fs::write(path("end"), "restrict 192.0.2.4\nend\nrestrict 192.0.2.5\n").unwrap();
    assert_eq!(read(Some(&path("end"))).unwrap().restricts.len(), 1);
}

#[test]
fn what_only_ntpsec_reads_drops_nothing() {
    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name);
    std::fs::create_dir_all(path("ntp.d/below")).unwrap();
    std::fs::write(path("ntp.conf"), "restrict default ignore\nend\nrestrict 192.0.2.9\n").unwrap();
    std::fs::write(path("ntp.d/local.conf"), "restrict 192.0.2.1\n").unwrap();
    std::fs::write(path("ntp.d/below/more.conf"), "restrict 192.0.2.2 ignore\n").unwrap();
    std::fs::write(path("ntp.d/README"), "restrict 192.0.2.3\n").unwrap();
    let conf = read(Some(&path("ntp.conf"))).unwrap();
    let read_as: Vec<_> = conf.restricts.iter().map(|line| (line.text.as_str(), line.uncertain)).collect();
    assert_eq!(
        read_as,
        [
            ("restrict default ignore", false),
            ("restrict 192.0.2.2 ignore", true),
            ("restrict 192.0.2.1", true)
        ]
    );
    assert!(!conf.blind);

    std::fs::write(path("folder.conf"), format!("includefile {}\n", path("ntp.d").display())).unwrap();
    let conf = read(Some(&path("folder.conf"))).unwrap();
    assert!(conf.restricts.iter().all(|line| line.uncertain) && conf.restricts.len() == 4);

    std::fs::write(path("relative.conf"), "includefile ntp.conf\n").unwrap();
    assert!(read(Some(&path("relative.conf"))).unwrap().blind, "the daemon's working directory is unknown");
}
