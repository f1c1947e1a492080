use super::*;
use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

/// Long enough that a busy machine answers in an eighth of it, after which a question is sent again.
const PATIENT: Duration = Duration::from_secs(8);

/// READSTAT's answer, written by hand from RFC 9327 §2: version 2, a response of opcode 1, sequence 1, the system's status,
/// association 0, offset 0, count 8; then identifiers and status words.
const LISTED: [u8; 20] =
    [0x16, 0x81, 0, 1, 0x06, 0x15, 0, 0, 0, 0, 0, 8, 0x6d, 0x2a, 0x96, 0x1a, 0x6d, 0x2b, 0x80, 0x11];
/// READVAR's answers for both, the first one in two fragments of which the last one comes first.
const FIRST_END: &[u8] =
    b"\x16\x82\x00\x02\x96\x1a\x6d\x2a\x00\x08\x00\x23=192.0.2.1, srcport=123, hpoll=10\r\n\0";
const FIRST_START: &[u8] = b"\x16\xa2\x00\x02\x96\x1a\x6d\x2a\x00\x00\x00\x08  srcadr";
const SECOND: &[u8] =
    b"\x16\x82\x00\x03\x80\x11\x6d\x2b\x00\x00\x00\x29srcadr=2001:db8::5, srcport=4460, hpoll=6\0\0\0";

/// Asks a stand-in on this address. It answers each question with these datagrams, or is gone from the first one without.
fn asked(
    address: &str,
    timeout: Duration,
    mut respond: impl FnMut(&[u8]) -> Option<Vec<Vec<u8>>> + Send,
) -> Result<Vec<Association>, Error> {
    let socket = UdpSocket::bind((address, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    let port = socket.local_addr().unwrap().port();
    let is_over = &AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut datagram = [0; DATAGRAM];
            while !is_over.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut datagram) else { continue };
                let Some(answers) = respond(&datagram[..length]) else { return };
                for answer in answers {
                    // The asker may be gone.
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        let result = ask_port(port, timeout);
        is_over.store(true, Ordering::Relaxed);
        result
    })
}

/// A datagram with the version and sequence number of a question.
fn answering(question: &[u8], datagram: &[u8]) -> Vec<u8> {
    let mut answer = datagram.to_vec();
    answer[0] = question[0];
    answer[2..4].copy_from_slice(&question[2..4]);
    answer
}

/// A whole answer to a question.
fn answer(question: &[u8], data: &[u8]) -> Vec<u8> {
    let mut answer = question[..12].to_vec();
    answer[1] |= 0x80;
    answer[10..].copy_from_slice(&(data.len() as u16).to_be_bytes());
    answer.extend(data);
    answer
}

/// A daemon with the two associations.
fn two(question: &[u8]) -> Option<Vec<Vec<u8>>> {
    let datagrams: &[&[u8]] = match (question[1], &question[6..8]) {
        (1, [0, 0]) => &[&LISTED],
        (2, [0x6d, 0x2a]) => &[FIRST_END, FIRST_START],
        (2, [0x6d, 0x2b]) => &[SECOND],
        _ => &[],
    };
    Some(datagrams.iter().map(|datagram| answering(question, datagram)).collect())
}

fn of(address: &str, port: u16, poll: u8) -> Association {
    Association { address: address.parse().unwrap(), port, poll }
}

fn both() -> Vec<Association> {
    vec![of("192.0.2.1", 123, 10), of("2001:db8::5", 4460, 6)]
}

#[test]
fn both_are_listed() {
    let mut questions = Vec::new();
    let associations = asked("127.0.0.1", PATIENT, |question| {
        questions.push(question.to_vec());
        two(question)
    });
    assert_eq!(associations.unwrap(), both());
    assert_eq!(questions[0][..2], [0x16, 1], "READSTAT of version 2");
    assert!(questions.last().unwrap().ends_with(b"\0\x14srcadr,srcport,hpoll"));
}

#[test]
fn none_are_listed() {
    let none = asked("127.0.0.1", PATIENT, |question| Some(vec![answer(question, b"")]));
    assert_eq!(none.unwrap(), []);
}

#[test]
fn a_daemon_that_answers_only_version_4() {
    let associations =
        asked(
            "127.0.0.1",
            PATIENT,
            |question| if question[0] == 0x26 { two(question) } else { Some(vec![]) },
        );
    assert_eq!(associations.unwrap(), both());
}

#[test]
fn a_daemon_on_ipv6_alone() {
    assert_eq!(asked("::1", PATIENT, two).unwrap(), both());
}

#[test]
fn lost_questions_are_repeated_and_late_answers_count() {
    let mut seen = 0;
    let mut first = Vec::new();
    let associations = asked("127.0.0.1", PATIENT, |question| {
        seen += 1;
        match seen {
            1 => {
                first = question.to_vec();
                Some(vec![])
            }
            // The answer to the first question comes as the second one arrives.
            2 => two(&first),
            _ => two(question),
        }
    });
    assert_eq!(associations.unwrap(), both());
    assert!(seen >= 4, "{seen}");
}

#[test]
fn an_association_that_ends_meanwhile_is_none() {
    let associations = asked("127.0.0.1", PATIENT, |question| {
        let unknown = answering(question, &[0x16, 0xc2, 0, 0, 4, 0, 0x6d, 0x2a, 0, 0, 0, 0]);
        if question[6..8] == [0x6d, 0x2a] { Some(vec![unknown]) } else { two(question) }
    });
    assert_eq!(associations.unwrap(), both()[1..]);
}

#[test]
fn a_refusal_is_told_with_its_code() {
    let error = asked("127.0.0.1", PATIENT, |question| {
        Some(vec![answering(question, &[0x16, 0xc1, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0])])
    });
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Refused(7)), "{error:?}");
    let text = "the daemon refuses to list its associations: error 7 (administratively prohibited)";
    assert_eq!(error.to_string(), text);
}

#[test]
fn nobody_answers() {
    let silent = asked("127.0.0.1", Duration::from_millis(100), |_| Some(vec![]));
    assert!(matches!(silent, Err(Error::Silence)), "{silent:?}");
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let free = ask_port(port, Duration::from_millis(100));
    assert!(matches!(free, Err(Error::Silence)), "{free:?}");
    assert!(matches!(ask_port(port, Duration::ZERO), Err(Error::Silence)));
}

#[test]
fn a_daemon_that_stops_leaves_the_list_incomplete() {
    let error =
        asked(
            "127.0.0.1",
            PATIENT,
            |question| {
                if question[6..8] == [0x6d, 0x2b] { None } else { two(question) }
            },
        );
    let error = error.unwrap_err();
    assert!(matches!(&error, Error::Incomplete { known, missing: 1 } if *known == both()[..1]), "{error:?}");
    assert!(
        error.to_string().starts_with("the daemon didn't describe 1 of the associations that it listed: ")
    );
}

#[test]
fn more_associations_than_any_daemon_has() {
    let listed: Vec<u8> = (1..=5000u16).flat_map(|at| [at.to_be_bytes(), [0; 2]].concat()).collect();
    let error = asked("127.0.0.1", PATIENT * 4, |question| {
        let chunks = listed.chunks(400).enumerate();
        Some(match question[1] {
            1 => chunks
                .map(|(at, data)| {
                    let mut fragment = answer(question, data);
                    fragment[8..10].copy_from_slice(&(at as u16 * 400).to_be_bytes());
                    fragment[1] |= if at < 49 { 0x20 } else { 0 };
                    fragment
                })
                .collect(),
            _ => vec![answer(question, b"srcadr=192.0.2.1, srcport=123, hpoll=6")],
        })
    });
    let error = error.unwrap_err();
    assert!(matches!(&error, Error::Incomplete { known, missing: 904 } if known.len() == 4096), "{error}");
}

/// A hostile daemon, or another program: it ends in time, whatever it sends.
#[test]
fn nonsense() {
    let error = asked("127.0.0.1", PATIENT / 2, |question| {
        let mut lying = answer(question, b"srcadr");
        lying[11] = 200;
        let mut elsewhere = answer(question, &LISTED[12..]);
        elsewhere[3] ^= 0x55;
        let mut endless = answer(question, &[1; 100]);
        endless[1] |= 0x20;
        let all = [lying, elsewhere, endless, vec![], vec![0xff; 2000], question.to_vec()];
        Some(all.iter().cycle().take(300).cloned().collect())
    });
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Nonsense(_)), "{error:?}");
    let odd = asked("127.0.0.1", PATIENT, |question| Some(vec![answer(question, &LISTED[12..18])]));
    assert!(matches!(odd, Err(Error::Nonsense("a list of associations that isn't one"))), "{odd:?}");
    let text = asked("127.0.0.1", PATIENT, |question| {
        Some(vec![answer(question, if question[1] == 1 { &LISTED[12..] } else { b"\xff\xfe, Hello=World" })])
    });
    assert!(matches!(text, Err(Error::Nonsense("an association without a port"))), "{text:?}");
}

#[test]
fn another_source_does_not_answer() {
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    let sent = AtomicUsize::new(0);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let asker = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut conversation = Conversation {
        socket: asker,
        sequence: 0,
        version: None,
        deadline: Instant::now() + PATIENT / 4,
        patience: PATIENT,
    };
    conversation.socket.connect(socket.local_addr().unwrap()).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut datagram = [0; DATAGRAM];
            let (length, from) = socket.recv_from(&mut datagram).unwrap();
            other.send_to(&answering(&datagram[..length], &LISTED), from).unwrap();
            sent.store(1, Ordering::Relaxed);
        });
        let silence = conversation.answer(READSTAT, 0, &[]);
        assert!(matches!(silence, Err(Error::Silence)), "{silence:?}");
    });
    assert_eq!(sent.into_inner(), 1);
}

#[test]
fn variables_of_an_association() {
    let of_text = |text: &str| association(text.as_bytes()).unwrap();
    assert_eq!(
        of_text("srcadr=192.0.2.1, srcport=123, hpoll=6\r\n"),
        Some(of("192.0.2.1", 123, 6)),
        "as NTPsec and 4.2.8 write it"
    );
    for (text, expected) in [
        ("hpoll=\"6\",srcport=\"123\" ,\r\nsrcadr=\"192.0.2.1\"", of("192.0.2.1", 123, 6)),
        ("srchost=\"a, srcadr=192.0.2.9\", srcadr=192.0.2.1, srcport=123, hpoll=6", of("192.0.2.1", 123, 6)),
        ("srcadr=2001:db8::5, srcport=4123, hpoll=10", of("2001:db8::5", 4123, 10)),
        ("srcadr=fe80::1%2, srcport=123, hpoll=6", of("fe80::1", 123, 6)),
        ("srcadr=192.0.2.1, srcport=123, hpoll=99", of("192.0.2.1", 123, 17)),
    ] {
        assert_eq!(of_text(text), Some(expected), "{text}");
    }
    for none in [
        "srcadr=127.127.28.0, srcport=123, hpoll=6",
        "srcadr=0.0.0.0, srcport=123, hpoll=6",
        "srcadr=::, srcport=123, hpoll=6",
        "srcadr=224.0.1.1, srcport=123, hpoll=6",
        "srcadr=ff05::101, srcport=123, hpoll=6",
        "srcadr=192.0.2.1, srcport=0, hpoll=6",
        // Only a name so far.
        "srcport=0, hpoll=6",
        "srcadr=(socktoa unknown family 0), srcport=0, hpoll=6",
    ] {
        assert_eq!(of_text(none), None, "{none}");
    }
    for broken in [
        "",
        "srcadr=192.0.2.1",
        "srcadr=192.0.2.1, srcport=123",
        "srcadr=192.0.2.1, srcport=65536, hpoll=6",
        "srcadr=192.0.2.1, srcport=123, hpoll=-6",
        "srcadr=192.0.2, srcport=123, hpoll=6",
        "srcadr=, srcport=123, hpoll=6",
        "srcadr=\"192.0.2.1, srcport=123, hpoll=6",
        "srcadr=ntp.example, srcport=123, hpoll=6",
    ] {
        assert!(association(broken.as_bytes()).is_err(), "{broken}");
    }
}
