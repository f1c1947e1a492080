//! The filter's limiter counts the same packets as the daemon's: those that are discarded for their form have been counted
//! before.
//!
//! The reference is a live NTPsec: after a burst of such packets it either answers a valid request, or doesn't.

use ntpguard::{
    compile::{Hardening, Image},
    daemon::dialect::Dialect,
    policy::limiter::Clock,
    simulate::model::Model,
};
use ntpguard_common::{Action, Decision, Reason};
use ntpguard_tests::{
    client::{Probe, Wire, answered},
    fixture::compile,
    frame::{Frame, SERVER_V4, SERVER_V6, payload},
    netns::Lab,
    ntpd::Ntpd,
};
use std::{fs, net::IpAddr};

/// More packets than NTPsec's limiter serves at once, and more than those that it would answer with a kiss.
const BURST: usize = 60;

/// A payload with this version and mode in its first byte, followed by zeros.
fn zeros(version: u8, mode: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    bytes[0] = version << 3 | mode;
    bytes
}

/// Payloads that NTPsec discards for their form, and whether its limiter has counted them before.
fn discarded() -> Vec<(&'static str, Vec<u8>, bool)> {
    let mut rows = vec![
        ("a request cut short", zeros(4, 3, 47), true),
        ("the shortest that counts", zeros(3, 3, 12), true),
        ("one that is shorter", zeros(4, 3, 11), false),
        ("an answer cut short", zeros(4, 4, 40), true),
        ("a trailer of no MAC's length", zeros(4, 3, 56), true),
        ("a crypto-NAK", zeros(4, 3, 52), true),
        ("a trailer of version 2", zeros(2, 3, 68), true),
        ("version 5", zeros(5, 3, 48), false),
        ("version 0", zeros(0, 3, 48), false),
        ("mode 2", zeros(4, 2, 48), false),
        ("mode 5", zeros(4, 5, 48), false),
        ("mode 7", zeros(4, 7, 48), false),
    ];
    let mut mac = payload::time(3, 4);
    mac.extend([7; 20]);
    rows.push(("a MAC of a key that nobody knows", mac, true));
    rows
}

fn image(conf: &str, dialect: Dialect) -> Image {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("ntp.conf");
    fs::write(&path, conf).unwrap();
    compile(Some(&path), dialect, Hardening::ALL).unwrap().image
}

/// The verdicts on frames, one after the other.
fn judged(image: &Image, frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<(Reason, Action)> {
    let model = Model::new(image, Clock::IDEAL, 64);
    let one = |frame: Vec<u8>| match model.judge(image, &frame) {
        Decision::Judged(verdict) => (verdict.reason, verdict.action()),
        other => panic!("{other:?}"),
    };
    frames.into_iter().map(one).collect()
}

/// The verdict on a request after a burst of payloads from its source.
fn after(image: &Image, payload: &[u8]) -> Reason {
    let frame = |payload: &[u8]| Frame::from("192.0.2.2", 40_000).payload(payload).build();
    let mut frames = vec![frame(payload); BURST];
    frames.push(frame(&payload::time(3, 4)));
    judged(image, frames).pop().unwrap().0
}

#[test]
fn a_burst_of_malformed_packets_limits_as_a_live_ntpsec_does() {
    let conf = "restrict default limited noquery\nrestrict 127.0.0.1\nrestrict ::1\n";
    let image = image(conf, Dialect::NtpSec);
    let lab = Lab::new().unwrap();
    let daemon = Ntpd::start(&lab.server, conf).unwrap();
    let to: [IpAddr; 2] = [SERVER_V4.parse().unwrap(), SERVER_V6.parse().unwrap()];
    let wire = Wire::open(&lab.outside).unwrap();
    for (number, (what, payload, counted)) in discarded().into_iter().enumerate() {
        // A new source, which the limiter holds nothing against yet.
        let source = format!("198.51.100.{}", number + 1);
        lab.address(&source).unwrap();
        let before = daemon.sysstat("packets received").unwrap();
        let frame = Frame::from(&source, 40_000).payload(&payload).build();
        (0..BURST).for_each(|_| wire.send(&frame).unwrap());
        // ntpq's own queries are counted too: two packets each time.
        while daemon.sysstat("packets received").unwrap() < before + BURST as u64 {}
        let probe = Probe { from: source.parse().unwrap(), port: 0, payload: payload::time(3, 4) };
        let is_answered = answered(&lab.outside, &[probe], to).unwrap() == [true];
        assert_eq!(is_answered, !counted, "the daemon: {what}");
        assert_eq!(after(&image, &payload) == Reason::Time, is_answered, "the filter: {what}");
    }
}

/// NTPsec 1.2.2 discards mode 1 before its limiter, while 1.2.5 counts it. So mode 1 isn't held against other packets, only
/// against more of mode 1.
#[test]
fn mode_1_of_ntpsec_has_an_account_of_its_own() {
    let image = image("restrict default limited kod noquery\n", Dialect::NtpSec);
    let symmetric = payload::time(1, 4);
    assert_eq!(after(&image, &symmetric), Reason::Time);
    let frame = Frame::from("192.0.2.2", 123).payload(&symmetric).build();
    let verdicts = judged(&image, vec![frame; BURST]);
    assert_eq!(verdicts[0], (Reason::Time, Action::Pass));
    assert_eq!(verdicts[BURST - 1], (Reason::Limited, Action::Drop));
    assert!(verdicts.iter().all(|(reason, _)| *reason != Reason::Kod), "1.2.2 is silent: no kiss goes out");
    // In version 1, a bare header in this mode is a client's request.
    assert_eq!(after(&image, &payload::time(1, 1)), Reason::Limited);
}

/// ntp.org's limiter comes last, and counts only well-formed packets; of the others, 4.2.8 counts crypto-NAKs.
#[test]
fn a_crypto_nak_counts_in_428() {
    let naks = [0, 3, 5].map(|mode| (zeros(if mode == 0 { 1 } else { 4 }, mode, 52), mode));
    for (nak, mode) in naks {
        let image = image("restrict default limited\n", Dialect::Ntp428);
        let frame = |payload: &[u8]| Frame::from("192.0.2.2", 40_000).payload(payload).build();
        let verdicts = judged(&image, [frame(&nak), frame(&payload::time(3, 4))]);
        let reasons: Vec<_> = verdicts.into_iter().map(|(reason, _)| reason).collect();
        assert_eq!(reasons, [Reason::Malformed, Reason::Limited], "mode {mode}");
    }
    let cut = image("restrict default limited\n", Dialect::Ntp428);
    assert_eq!(after(&cut, &zeros(4, 3, 47)), Reason::Time, "what is cut short is discarded before");
}
