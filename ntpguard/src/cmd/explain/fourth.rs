//! A test with a daemon that doesn't exist, which shows what a new daemon needs: a row of behaviours and a reader of its
//! files. Its row alone describes it: no behaviour is taken over from another daemon.

use super::{Answer, Asked};
use crate::{
    compile::{Hardening, Image},
    conf::{AccessLine, AccessList, Action, File, Limiter, Target},
    daemon::{
        flags::Flags,
        profile::{Mode7, NameUse, PortOrder, Profile, SourceEntries},
    },
    policy::Policy,
    simulate::{Engine, EngineChoice, Train, frame},
};
use ntpguard_common::abi::PolicyWord;
use std::net::IpAddr;

/// Its row: a source that no line allows isn't served, and only a few kinds of packets are taken.
static FOURTH: Profile = Profile {
    name: "fourth",
    built_in_default: Flags::IGNORE,
    inert: Flags::NONE,
    port_order: PortOrder::First,
    name_use: NameUse::All,
    masks_names: false,
    mode_7: Mode7::Never,
    monlist: false,
    source_entries: SourceEntries::Unknown,
    nopeer_stops_pools: false,
    discards_unknown_macs: false,
    diverts_mssntp: None,
    behaviours: PolicyWord::VERSIONS_1_TO_4 | PolicyWord::MODES_1_3_4,
};

/// Its reader: the lines are `allow ADDRESS MASK` and `deny ADDRESS MASK`.
fn read(text: &str) -> AccessList {
    let mut list = AccessList::new(&FOURTH, Limiter::Unknown);
    let mut start = 0;
    for (line, written) in (1..).zip(text.lines()) {
        let [word, address, mask] = written.split(' ').collect::<Vec<_>>()[..] else { panic!("{written}") };
        let flags = if word == "allow" { Flags::NONE } else { Flags::NOSERVE };
        let (target, mask) = (Target::Address(address.parse().unwrap()), mask.parse().ok());
        list.lines.push(AccessLine {
            action: Action::Add,
            target,
            family: None,
            mask,
            flags,
            file: 0,
            line,
            start,
        });
        start += written.len() as u32 + 1;
    }
    list.files.push(File { path: "fourth.conf".into(), bytes: text.into() });
    list
}

const CONF: &str = "allow 198.51.100.0 255.255.255.0\ndeny 198.51.100.128 255.255.255.128\n";

/// The explanations by the kernel and the host of a 48-byte payload with this first byte.
fn explained(source: &str, port: u16, first: u8) -> Vec<String> {
    let conf = read(CONF);
    let policy = Policy::resolve(&conf, &|_| unreachable!("no names"), &[]);
    let image = Image::compile(&policy, &conf, Hardening::NONE);
    let mut payload = [0; 48];
    payload[0] = first;
    let source: IpAddr = source.parse().unwrap();
    let frame = frame::build(source, port, &payload).unwrap();
    let engines = [EngineChoice::Kernel, EngineChoice::Host];
    let answers = engines.into_iter().filter_map(|choice| {
        // Without root the kernel can't be asked.
        let mut engine = Engine::new(choice).ok()?;
        let judged = engine.judge(&image, &frame).unwrap();
        let asked = Asked { frame: &frame, train: Train::ONE, policy: &policy, conf: &conf, own: &[] };
        Some(Answer::new(judged, &asked, &image, &engine).text())
    });
    answers.collect()
}

#[test]
fn a_row_and_a_reader_are_a_daemon() {
    let at_least = if nix::unistd::geteuid().is_root() { 2 } else { 1 };
    let client = 4 << 3 | 3;
    for (source, port, first, wanted) in [
        ("198.51.100.7", 40_000, client, "pass, time: "),
        ("198.51.100.129", 40_000, client, "drop, noserve: "),
        ("203.0.113.7", 40_000, client, "drop, ignore: "),
        // ntpd 4.2.6 doesn't take source port 0.
        ("198.51.100.7", 0, client, "pass, time: "),
        // Every ntpd of ntp.org takes this mode, and the version of the next packet.
        ("198.51.100.7", 123, 4 << 3 | 2, "drop, mode: "),
        ("198.51.100.7", 123, 5 << 3 | 3, "drop, malformed: "),
        // ntpd 4.2.6 takes this query.
        ("198.51.100.7", 123, 2 << 3 | 7, "drop, mode7: "),
    ] {
        let answers = explained(source, port, first);
        assert!(answers.len() >= at_least, "{answers:?}");
        for answer in answers {
            assert!(answer.starts_with(wanted), "{source} {port} {first:#x}: {answer}");
        }
    }
}

#[test]
fn its_own_lines_are_quoted() {
    for answer in explained("198.51.100.129", 123, 4 << 3 | 3) {
        assert!(answer.contains("\n  fourth.conf:2:1: deny 198.51.100.128 255.255.255.128\n"), "{answer}");
    }
    for answer in explained("203.0.113.7", 123, 4 << 3 | 3) {
        assert!(answer.contains("no line speaks of 0.0.0.0/0; built in"), "{answer}");
    }
}
