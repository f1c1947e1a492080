//! Lines as the daemons read them: the table of their semantics, one test per topic.

use super::*;
use crate::conf::diagnostic::Code;
use crate::daemon::dialect::Dialect::{self, Ntp426, Ntp428, NtpSec};
use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

fn parse_as(text: &str, dialect: Dialect) -> AccessList {
    super::parse(Path::new("ntp.conf"), text.as_bytes(), Daemon::new(dialect)).unwrap()
}

fn parse(text: &str) -> AccessList {
    parse_as(text, Ntp428)
}

fn only(text: &str) -> AccessLine {
    let conf = parse(text);
    assert_eq!(conf.lines.len(), 1, "{text}: {:?}", conf.diagnostics);
    conf.lines[0].clone()
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
        assert_eq!(conf.lines[0].flags.to_string(), flags, "{text}");
        assert_eq!(conf.lines[0].mask, None, "{text}");
        assert_eq!(conf.diagnostics.len(), 1, "{text}");
    }
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
        assert_eq!((conf.lines.len(), conf.diagnostics.len()), (0, 1), "{text}");
    }
}

/// What each of the three daemons makes of a line: its mask and flags, or nothing.
fn three(text: &str) -> [Option<String>; 3] {
    [Ntp426, Ntp428, NtpSec].map(|dialect| {
        let conf = parse_as(text, dialect);
        assert!(conf.lines.len() <= 1);
        conf.lines.first().map(|restrict| match restrict.mask {
            Some(mask) => format!("{mask} {}", restrict.flags).trim().to_owned(),
            None => restrict.flags.to_string(),
        })
    })
}

#[test]
fn lines_that_the_daemons_read_differently() {
    for (text, wanted) in [
        ("restrict 192.0.2.0/24 ignore", [None, None, Some("255.255.255.0 ignore")]),
        ("restrict 192.0.2.0/24x ignore", [None, None, Some("255.255.255.0 ignore")]),
        ("restrict 192.0.2.0/+24 ignore", [None, None, Some("255.255.255.0 ignore")]),
        ("restrict 0.0.0.0/0 ignore", [None, None, Some("ignore")]),
        ("restrict 192.0.2.7/33 ignore", [None, None, Some("ignore")]),
        ("restrict 192.0.2.0/0 mask 255.0.0.0", [None, None, Some("255.0.0.0")]),
        (
            "restrict -4 192.0.2.0 mask 255.255.255.0 ignore",
            [Some(""), Some("255.255.255.0 ignore"), Some("")],
        ),
        ("restrict -6 192.0.2.7 ignore", [Some("ignore"), None, None]),
        ("restrict 0xc0000207 ignore", [Some("ignore"), None, None]),
        ("restrict default \u{2013} ignore", [Some(""), Some("ignore"), Some("ignore")]),
        ("\u{feff}restrict default ignore", [None, Some("ignore"), Some("ignore")]),
        ("restrict default noepeer ignore", [Some(""), Some("ignore noepeer"), Some("")]),
        ("restrict default nomrulist ignore", [Some(""), Some("ignore nomrulist"), Some("ignore nomrulist")]),
        (
            "restrict default lowpriotrap ignore",
            [Some("ignore lowpriotrap"), Some("ignore lowpriotrap"), Some("")],
        ),
        ("restrict 192.0.2.7 ippeerlimit 1 ignore", [Some(""), Some("ignore"), Some("")]),
        ("restrict 192.0.2.7 ippeerlimit 1000 ignore", [Some(""), Some("ignore"), Some("")]),
        ("restrict 192.0.2.7 ippeerlimit foo ignore", [Some(""), None, Some("")]),
        ("restrict 192.0.2.7 ignore ippeerlimit 1", [Some("ignore"); 3]),
        (
            "restrict 192.0.2.7 serverresponse fuzz ignore",
            [Some(""), Some("ignore serverresponse"), Some("")],
        ),
        ("restrict 192.0.2.7 ignore serverresponse", [Some("ignore"), None, Some("ignore")]),
        ("restrict source ignore", [Some("ignore"); 3]),
        ("restrict server ignore", [None; 3]),
        ("restrict mode7 ignore", [Some("ignore"), None, Some("ignore")]),
        ("unrestrict default noquery", [None, None, Some("noquery")]),
        ("delrestrict 192.0.2.7 ignore", [None, Some(""), None]),
        ("delrestrict -4 192.0.2.7", [None; 3]),
        ("delrestrict default", [None; 3]),
        // 4.2.6 looks the name up, so the mask isn't in the list.
        ("restrict host.example mask foo ignore", [Some("ignore"), Some("255.255.255.255 ignore"), None]),
        // Masks as inet_aton(3) reads them, unless the scanner reads a number.
        ("restrict 192.0.2.0 mask 0xffffff00 ignore", [Some("255.255.255.0 ignore"), None, None]),
        ("restrict 192.0.2.0 mask 0XFFFFFF00 ignore", [Some("255.255.255.0 ignore"), None, None]),
        ("restrict 192.0.2.0 mask 255.255.255 ignore", [Some("255.255.0.255 ignore"), None, None]),
        ("restrict 192.0.2.0 mask 255.0xffff00 ignore", [Some("255.255.255.0 ignore"), None, None]),
        ("restrict 192.0.2.0 mask 0377.0377.0377.0 ignore", [Some("255.255.255.0 ignore"), None, None]),
        ("restrict 192.0.2.0 mask 037777777400 ignore", [None; 3]),
        ("restrict 192.0.2.0 mask \"037777777400\" ignore", [Some("255.255.255.0 ignore"), None, None]),
        ("restrict 192.0.2.0 mask 4294967040 ignore", [None; 3]),
        ("restrict 192.0.2.0 mask \"4294967040\" ignore", [Some("255.255.255.0 ignore"), None, None]),
        ("restrict 192.0.2.0 mask 255.255 ignore", [None; 3]),
        ("restrict 192.0.2.0 mask \"255.255\" ignore", [Some("255.0.0.255 ignore"), None, None]),
        ("restrict 192.0.2.0 mask default ignore", [None; 3]),
        ("restrict 192.0.2.0 mask \"255.255.255.0\" ignore", [Some("255.255.255.0 ignore"); 3]),
        ("restrict 2001:db8:: mask [ffff::] ignore", [Some("ffff:: ignore"); 3]),
        ("restrict 2001:db8:: mask ffff::%lo ignore", [Some("ffff:: ignore"); 3]),
        ("restrict host.example mask 24 ignore", [None; 3]),
        ("restrict host.example mask", [None; 3]),
        ("restrict default ippeerlimit 1.5 ignore", [Some(""), None, Some("")]),
        ("restrict -4 source ignore", [Some("ignore"), None, None]), // 4.2.6 reads `source` as a name
    ] {
        assert_eq!(three(text), wanted.map(|wanted| wanted.map(str::to_owned)), "{text}");
    }
    assert_eq!(parse_as("restrict source", Ntp426).lines[0].target, Target::Name("source".into()));
    let p17 = Daemon { dialect: Ntp428, ordering: crate::daemon::dialect::Ordering::P17 };
    assert!(super::parse(Path::new("x"), b"delrestrict 192.0.2.7", p17).unwrap().lines.is_empty());
}

#[test]
fn a_quoted_blank_ends_a_command_within_its_line() {
    for dialect in [Ntp426, Ntp428, NtpSec] {
        let conf = parse_as("\"\" restrict 192.0.2.7 ignore \" \" restrict 192.0.2.8", dialect);
        let flags: Vec<_> = conf.lines.iter().map(|restrict| restrict.flags.to_string()).collect();
        assert_eq!(flags, ["ignore", ""], "{dialect}");
    }
}

#[test]
fn the_name_of_a_mask_is_looked_up_for_4_2_6_alone() {
    let text = "restrict 192.0.2.0 ignore\nrestrict 192.0.2.0 mask 255.255.255.O ignore";
    let conf = parse_as(text, Ntp426);
    assert_eq!(conf.mask_names.get(&1).map(|name| &**name), Some("255.255.255.O"));
    assert_eq!(conf.names(), ["255.255.255.O"]);
    assert_eq!(conf.diagnostics[0].code, Code::MaskSpelling);
    for dialect in [Ntp428, NtpSec] {
        assert_eq!(parse_as(text, dialect).names(), [""; 0]);
    }
}

#[test]
fn disable_wins_over_enable_wherever_it_stands() {
    let mode7 = |text| parse_as(text, Ntp428).takes_mode_7;
    assert!(!mode7("") && mode7("enable mode7") && mode7("enable monitor mode7 foo"));
    assert!(!mode7("enable foo mode7") && !mode7("disable mode7\nenable mode7"));
    assert!(parse_as("disable mode7", Ntp426).takes_mode_7 && !parse_as("", NtpSec).takes_mode_7);
    assert!(mode7("enable mode7\ndisable port mode7"), "a keyword that is nothing to switch ends the list");
    let off = parse_as("disable monitor auth", Ntp428);
    assert!(off.monitor_off.is_some() && off.auth_off.is_some());
    assert!(parse_as("disable monitor auth", NtpSec).auth_off.is_none(), "no switch of NTPsec's");
}

#[test]
fn a_word_too_long_stops_the_daemon() {
    let with = |length| format!("restrict default\nkeys {}", "x".repeat(length));
    for (dialect, longest) in [(Ntp426, 1024), (Ntp428, 127), (NtpSec, 1024)] {
        let parse = |text: String| super::parse(Path::new("ntp.conf"), text.as_bytes(), Daemon::new(dialect));
        assert!(parse(with(longest)).is_ok());
        let error = parse(with(longest + 1)).unwrap_err().to_string();
        assert!(error.starts_with("ntp.conf:2:6: a word of"), "{error}");
        assert!(parse(format!("# {}", "x".repeat(5000))).is_ok());
        assert!(parse(format!("restrict 192.0.2.1 {}", "ignore,".repeat(200))).is_ok(), "many short words");
        assert!(parse(format!("logfile {}", "\u{e4}".repeat(60))).is_ok(), "bytes are counted, or gone");
    }
}

#[test]
fn a_typo_leads_to_its_correction() {
    let found = |text, dialect| parse_as(text, dialect).diagnostics.remove(0);
    let typo = found("restrict default noqurey", Ntp428);
    assert_eq!((typo.code, typo.help.as_deref()), (Code::UnknownFlag, Some("did you mean `noquery`?")));
    assert_eq!(typo.place.unwrap().span, Span { line: 1, column: 18, length: 7 });
    let keyword = found("Restrict default ignore", NtpSec);
    assert_eq!(keyword.code, Code::UnknownRestrict);
    assert_eq!(keyword.help.as_deref(), Some("did you mean `restrict`?"));
    let cidr = found("restrict 10.0.0.0/8 ignore", Ntp428);
    assert_eq!((cidr.code, cidr.help.as_deref()), (Code::Cidr, Some("write `10.0.0.0 mask 255.0.0.0`")));
    assert_eq!(found("restrict default epeer", Ntp428).code, Code::Epeer);
    assert_eq!(found("unrestrict default noquery", Ntp428).code, Code::UnknownRestrict);
}

#[test]
fn large_files_take_no_time() {
    let start = std::time::Instant::now();
    let lines: String = (0..100_000)
        .map(|n| format!("restrict 10.{}.{}.{} noquery\n", n >> 16, n >> 8 & 255, n & 255))
        .collect();
    assert_eq!(parse(&lines).lines.len(), 100_000);
    println!("100,000 restrict lines: {:.0?}", start.elapsed());
    let start = std::time::Instant::now();
    let filler = "statistics loopstats peerstats clockstats\n".repeat(10 << 20 >> 5);
    assert!(parse(&filler).diagnostics.is_empty());
    println!("{} MB: {:.0?}", filler.len() >> 20, start.elapsed());
}

#[test]
fn the_rest_of_the_language_makes_no_noise() {
    let conf = parse(
        "server -4 ntp1.example.net iburst # ours\npool 0.pool.example.net\npeer 2001:db8::5\ndisable monitor\n\
         driftfile \"/var/lib/ntp drift\"\ntos maxclock 11\nstatistics loopstats\r\n\n   \n",
    );
    assert_eq!(conf.diagnostics, []);
    let hosts: Vec<_> =
        conf.associations.iter().map(|association| association.host.as_deref().unwrap()).collect();
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
        for dialect in [Ntp426, Ntp428, NtpSec] {
            // Zero bytes are refused, which is allowed.
            let _ = super::parse(Path::new("ntp.conf"), &text, Daemon::new(dialect));
        }
    }
}

fn paths(conf: &AccessList) -> Vec<PathBuf> {
    conf.files.iter().map(|file| file.path.clone()).collect()
}

#[test]
fn includes_are_read_and_loops_end() {
    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name);
    let read = |name: &str| read(Some(&path(name)), Daemon::new(Ntp428)).unwrap();
    std::fs::write(path("a"), format!("includefile {}\nrestrict 192.0.2.2\n", path("b").display())).unwrap();
    std::fs::write(path("b"), "restrict 192.0.2.1 ignore\nincludefile /nonexistent\n").unwrap();
    let conf = read("a");
    assert_eq!(paths(&conf), [path("a"), path("b")]);
    assert_eq!(conf.lines.iter().map(|line| line.file).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(conf.diagnostics.len(), 1, "the missing file is reported");
    assert!(!conf.blind, "and the daemon goes on without it, too");

    std::fs::write(path("loop"), format!("restrict 192.0.2.3\nincludefile {}\n", path("loop").display()))
        .unwrap();
    let conf = read("loop");
    assert_eq!(conf.lines.len(), 6);
    assert!(conf.diagnostics[0].help.as_ref().unwrap().contains("include itself"));

    std::fs::write(path("end"), "restrict 192.0.2.4\nend\nrestrict 192.0.2.5\n").unwrap();
    assert_eq!(read("end").lines.len(), 1);

    std::fs::write(path("relative"), "includefile ntp.conf\n").unwrap();
    assert!(read("relative").blind, "the daemon's working directory is unknown");
}

#[test]
fn end_ends_all_that_waits() {
    assert_eq!(parse("restrict 192.0.2.1\nend;\nrestrict default ignore").lines.len(), 1);
    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name);
    std::fs::create_dir(path("inc")).unwrap();
    std::fs::write(path("ntp.conf"), "includefile inc\nrestrict default ignore\n").unwrap();
    std::fs::write(path("inc/b.conf"), "restrict 192.0.2.1\nend\n").unwrap();
    std::fs::write(path("inc/a.conf"), "restrict 192.0.2.2\n").unwrap();
    let conf = read(Some(&path("ntp.conf")), Daemon::new(NtpSec)).unwrap();
    assert_eq!((conf.lines.len(), &*conf.text(0)), (1, "restrict 192.0.2.1"));
}

#[test]
fn ntpsec_reads_its_folder_without_an_ntp_conf() {
    let files = tempfile::tempdir().unwrap();
    std::fs::create_dir(files.path().join("ntp.d")).unwrap();
    std::fs::write(files.path().join("ntp.d/a.conf"), "unrestrict default noquery\n").unwrap();
    let path = files.path().join("ntp.conf");
    assert_eq!(read(Some(&path), Daemon::new(NtpSec)).unwrap().lines.len(), 1);
    assert!(read(Some(&path), Daemon::new(Ntp428)).is_err());
}

#[test]
fn what_only_ntpsec_reads() {
    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name);
    std::fs::create_dir_all(path("ntp.d/below.conf")).unwrap();
    std::fs::create_dir_all(path("ntp.d/beside")).unwrap();
    std::fs::write(path("ntp.conf"), "restrict default ignore\nend\nrestrict 192.0.2.9\n").unwrap();
    std::fs::write(path("ntp.d/local.conf"), "restrict 192.0.2.1\nincludefile more\n").unwrap();
    std::fs::write(path("ntp.d/more"), "restrict 192.0.2.4\n").unwrap();
    std::fs::write(path("ntp.d/below.conf/more.conf"), "restrict 192.0.2.2 ignore\n").unwrap();
    std::fs::write(path("ntp.d/beside/no.conf"), "restrict 192.0.2.3\n").unwrap();
    let texts = |dialect| {
        let conf = read(Some(&path("ntp.conf")), Daemon::new(dialect)).unwrap();
        (0..conf.lines.len() as u32).map(|line| conf.text(line)).collect::<Vec<_>>()
    };
    assert_eq!(texts(Ntp428), ["restrict default ignore"]);
    // The last file comes first.
    let all =
        ["restrict default ignore", "restrict 192.0.2.1", "restrict 192.0.2.4", "restrict 192.0.2.2 ignore"];
    assert_eq!(texts(NtpSec), all);
}
