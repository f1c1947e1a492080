//! Kisses, byte by byte, and the packets that get none; the influence of forged sources on real ones in the table.

use ntpguard::{
    compile::{Hardening, Image},
    daemon::dialect::Dialect,
    policy::limiter::Clock,
    simulate::model::Model,
};
use ntpguard_common::{
    Action, Decision, Reason, Source,
    limit::{LimitRequest, table::Set},
};
use ntpguard_tests::{fixture::compile, frame::Frame};
use std::{fs, net::Ipv4Addr};

fn image(conf: &str, dialect: Dialect) -> Image {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("ntp.conf");
    fs::write(&path, conf).unwrap();
    compile(Some(&path), dialect, Hardening::ALL).unwrap().image
}

/// The verdict on a packet after this many others of its source, and the kiss if it earns one.
fn after(image: &Image, frame: &[u8], others: u32) -> (Reason, Option<Vec<u8>>) {
    let model = Model::new(image, Clock::IDEAL, 1);
    for _ in 0..others {
        model.judge(image, frame);
    }
    let Decision::Judged(verdict) = model.judge(image, frame) else { panic!("nothing to judge") };
    let kiss = (verdict.action() == Action::Transmit).then(|| model.kiss(frame, verdict).unwrap());
    (verdict.reason, kiss)
}

const KOD: &str = "restrict default limited kod noquery\n";

/// A client's request in which every header field has a different value: poll 2, precision 0xe9, and so on.
fn request() -> Vec<u8> {
    let mut bytes: Vec<u8> = (0x80..0xb0).collect();
    bytes[..4].copy_from_slice(&[0x23, 9, 2, 0xe9]);
    bytes
}

/// The NTP header of the answer, by RFC 5905 §7.3 and ntp_proto.c:fast_xmit.
fn answer(first: u8, poll: u8) -> Vec<u8> {
    let request = request();
    let mut bytes = vec![first, 0, poll, 0xe9];
    bytes.extend(&request[4..12]); // root delay, root dispersion
    bytes.extend(b"RATE");
    bytes.extend(&request[16..24]); // reference timestamp
    (0..3).for_each(|_| bytes.extend(&request[40..48])); // origin, receive, transmit: the request's transmit
    bytes
}

/// The one's complement sum of 16-bit words, which is 0xffff over data that includes a correct checksum.
fn sum(bytes: &[u8]) -> u32 {
    let sum: u32 = bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
    (sum & 0xffff) + (sum >> 16)
}

/// Whether UDP's checksum is correct; `addresses` are those of the pseudo-header.
fn udp_is_right(udp: &[u8], addresses: &[u8]) -> bool {
    let pseudo = [addresses, &[0, 17], &(udp.len() as u16).to_be_bytes()].concat();
    let total = sum(udp) + sum(&pseudo);
    udp[6..8] != [0, 0] && (total & 0xffff) + (total >> 16) == 0xffff
}

#[test]
fn a_kiss_byte_by_byte() {
    // NTPsec sends a kiss for the 21st packet of a burst, ntp.org for the second.
    for (dialect, others) in [(Dialect::Ntp426, 1), (Dialect::Ntp428, 1), (Dialect::NtpSec, 24)] {
        let image = image(KOD, dialect);
        let frame = Frame::from("203.0.113.7", 40000).vlan(0x8100, 7).payload(&request()).build();
        let (reason, kiss) = after(&image, &frame, others);
        assert_eq!(reason, Reason::Kod, "{dialect}");
        let kiss = kiss.unwrap();
        assert_eq!(kiss.len(), frame.len());
        // Back to the sender, with the same VLAN tag.
        assert_eq!([&kiss[..6], &kiss[6..12], &kiss[12..18]], [&frame[6..12], &frame[..6], &frame[12..18]]);
        let (ip, udp, time) = (&kiss[18..38], &kiss[38..94], &kiss[46..94]);
        assert_eq!(ip[..8], frame[18..26], "{dialect}");
        assert_eq!((ip[8], ip[9]), (64, 17));
        assert_eq!([&ip[12..16], &ip[16..20]], [&[192, 0, 2, 1], &[203, 0, 113, 7]]);
        assert_eq!(sum(ip), 0xffff);
        assert_eq!(udp[..6], [0, 123, 0x9c, 0x40, 0, 56]);
        assert!(udp_is_right(udp, &ip[12..20]));
        // ntp.org's minimum poll is 3, and NTPsec's 0, so the request's 2 stays.
        let poll = if dialect == Dialect::NtpSec { 2 } else { 3 };
        assert_eq!(time, answer(0xe4, poll), "{dialect}");

        let frame = Frame::from("2001:db8::7", 123).payload(&request()).build();
        let kiss = after(&image, &frame, others).1.unwrap();
        assert_eq!((&kiss[14..21], kiss[21]), (&frame[14..21], 64));
        assert_eq!([&kiss[22..38], &kiss[38..54]], [&frame[38..54], &frame[22..38]]);
        assert_eq!(kiss[54..60], [0, 123, 0, 123, 0, 56]);
        assert!(udp_is_right(&kiss[54..], &kiss[22..54]));
        assert_eq!(kiss[62..], answer(0xe4, poll));
    }
}

#[test]
fn poll_and_mode_are_the_daemons() {
    let kissed = |conf: &str, dialect, others, bytes: &[u8]| {
        let frame = Frame::from("203.0.113.7", 123).payload(bytes).build();
        let (reason, kiss) = after(&image(conf, dialect), &frame, others);
        (reason, kiss.map(|kiss| (kiss[42], kiss[44])))
    };
    let mode = |first| [&[first], &request()[1..]].concat();
    let long = [&[0x23, 0, 17], &request()[3..]].concat();
    use Dialect::{Ntp428, NtpSec};
    assert_eq!(kissed(KOD, Ntp428, 1, &long), (Reason::Kod, Some((0xe4, 17))));
    let slow = &format!("{KOD}discard average 6\n");
    assert_eq!(kissed(slow, Ntp428, 1, &request()), (Reason::Kod, Some((0xe4, 6))));
    // Mode 1 is answered in mode 1, and by NTPsec in version 1 in mode 4; otherwise NTPsec itself sends the kiss, if any.
    assert_eq!(kissed(KOD, Ntp428, 1, &mode(0x21)), (Reason::Kod, Some((0xe1, 3))));
    assert_eq!(kissed(KOD, NtpSec, 24, &mode(0x21)), (Reason::Time, None));
    assert_eq!(kissed(KOD, NtpSec, 24, &mode(0x09)), (Reason::Kod, Some((0xcc, 2))));
    let unset = [&[0x23, 0, 0], &request()[3..]].concat();
    assert_eq!(kissed(KOD, NtpSec, 24, &unset), (Reason::Kod, Some((0xe4, 0))), "a poll of 0 stays");
    assert_eq!(kissed(KOD, Ntp428, 1, &unset), (Reason::Kod, Some((0xe4, 3))));
    assert_eq!(kissed(KOD, Ntp428, 1, &mode(0x08)), (Reason::Kod, Some((0xcc, 3))));
    // Answers and broadcasts get no kiss; NTPsec accepts answers within its allowance for kisses.
    assert_eq!(kissed(KOD, Ntp428, 1, &mode(0x24)), (Reason::Limited, None));
    assert_eq!(kissed(KOD, Ntp428, 1, &mode(0x25)), (Reason::Limited, None));
    assert_eq!(kissed(KOD, NtpSec, 24, &mode(0x24)), (Reason::Time, None));
    // Without `kod`, and after the one kiss.
    assert_eq!(kissed("restrict default limited\n", Ntp428, 1, &request()), (Reason::Limited, None));
    assert_eq!(kissed(KOD, Ntp428, 2, &request()), (Reason::Limited, None));
    // The daemon answers a packet with a MAC with a kiss that has a MAC.
    assert_eq!(kissed(KOD, Ntp428, 1, &[&request()[..], &[0; 20]].concat()), (Reason::Time, None));
}

#[test]
fn no_kiss_for_what_the_stack_would_not_take() {
    let image = image(KOD, Dialect::Ntp428);
    let good = Frame::from("203.0.113.7", 40000).payload(&request()).build();
    let good6 = Frame::from("2001:db8::7", 40000).payload(&request()).build();
    let reason = |frame: &[u8]| after(&image, frame, 1).0;
    let changed = |frame: &[u8], at: usize, byte: u8| {
        let mut frame = frame.to_vec();
        frame[at] ^= byte;
        reason(&frame)
    };
    assert_eq!((reason(&good), reason(&good6)), (Reason::Kod, Reason::Kod));
    // A wrong IPv4 checksum, UDP checksum, or byte covered by it; then a multicast MAC address.
    for at in [24, 40, 89] {
        assert_eq!(changed(&good, at, 0x10), Reason::Time, "{at}");
    }
    for at in [60, 109] {
        assert_eq!(changed(&good6, at, 0x10), Reason::Time, "{at}");
    }
    assert_eq!((changed(&good, 0, 1), changed(&good, 6, 1)), (Reason::Time, Reason::Time));
    // No UDP checksum, which is allowed only over IPv4.
    let without = |frame: &[u8], at: usize| {
        let mut frame = frame.to_vec();
        frame[at..at + 2].fill(0);
        reason(&frame)
    };
    assert_eq!((without(&good, 40), without(&good6, 60)), (Reason::Kod, Reason::Time));
    let options = Frame::from("203.0.113.7", 40000).options(4).payload(&request()).build();
    assert_eq!(reason(&options), Reason::Time);
}

#[test]
fn made_up_sources_churn_nobody_who_is_heard_again() {
    let image = image(
        "restrict default limited\nrestrict 198.51.100.0 mask 255.255.255.0 noserve\n",
        Dialect::NtpSec,
    );
    let model = Model::new(&image, Clock::IDEAL, 1 << 12);
    let send = |address: u32| {
        let frame = Frame::from(&Ipv4Addr::from(address).to_string(), 40000).payload(&request()).build();
        let Decision::Judged(verdict) = model.judge(&image, &frame) else { panic!("nothing to judge") };
        verdict.reason
    };
    let is_tracked = |address: u32| {
        let key = model.key(LimitRequest::NOTHING, &Source::V4(address), 48);
        let set = &model.sets()[Set::number(key, model.sets().len() as u32) as usize];
        set.accounts().any(|(holder, _)| holder == key)
    };
    let memory = model.sets().len();
    // A packet that is dropped for another reason takes no place in the table.
    assert_eq!(send(0xc633_6401), Reason::Noserve);
    assert!(!is_tracked(0xc633_6401));
    let real = 0x0a00_0000..0x0a00_0000 + 500;
    for _ in 0..2 {
        real.clone().for_each(|address| assert_eq!(send(address), Reason::Time));
    }
    let kept: Vec<_> = real.filter(|address| is_tracked(*address)).collect();
    let reasons: Vec<_> = (0x0b00_0000..0x0b00_0000 + 40_000).map(send).collect();
    let lost = kept.iter().filter(|address| !is_tracked(**address)).count();
    let untracked = reasons.iter().filter(|reason| **reason == Reason::Untracked).count();
    println!("{} of 500 tracked, {lost} lost to 40,000 made up; {untracked} untracked", kept.len());
    assert!(kept.len() > 450 && lost == 0);
    assert!(reasons.iter().all(|reason| reason.action() == Action::Pass));
    assert_eq!(model.sets().len(), memory);
}
