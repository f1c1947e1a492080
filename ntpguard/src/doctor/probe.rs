//! What the daemon answers to one packet of each kind, sent to this host's own addresses.
//!
//! Contract: no packet leaves this host. Each socket is bound to the address that it queries, which fails unless the
//! address is this host's; should the address be removed at that very moment, the first router drops the packet (its TTL is
//! 1). What a host sends to itself doesn't pass a card, so no filter there judges it: the answers are the daemon's. What an
//! outside source would get is judged with the filter ([`Shield`]).

use super::{
    Check, Finding,
    shield::{Met, Shield},
};
use crate::{host::addresses, simulate::frame};
use nix::sys::socket::{setsockopt, sockopt};
use ntpguard_common::wire::ntp;
use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

/// One address answers for all others of its kind, unless lines name them; querying more would only be noise.
const ADDRESSES_PER_FAMILY: usize = 2;
/// Time limit for all answers together: they come from this host.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// Size of the receive buffer in bytes; the longest answer that a daemon puts into one packet is 500.
const ROOM: usize = 2048;

/// A query to the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Monlist,
    Peers,
    Readvar,
}

const QUESTIONS: [Question; 3] = [Question::Monlist, Question::Peers, Question::Readvar];

/// How the daemon answered a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// No answer in time.
    Silence,
    /// An error with this number, no longer than the query.
    Refused(u8),
    /// An answer; its length in bytes.
    Told(usize),
}

/// All answers of the daemon.
#[derive(Debug)]
pub(super) struct Answers {
    /// The answers of each address, in the order of `QUESTIONS`.
    pub(super) asked: Vec<(IpAddr, [Answer; 3])>,
    /// How many addresses weren't queried.
    pub(super) left_out: usize,
    /// The release that it reported over loopback: `4.2.8p15`, `ntpsec-1.2.2`.
    pub(super) release: Option<String>,
}

/// Queries the daemon at this host's addresses.
pub(super) fn ask() -> io::Result<Answers> {
    let (addresses, left_out) = choose(addresses::addresses().map_err(io::Error::other)?);
    let start = Instant::now();
    let open = |address: IpAddr| QUESTIONS.map(|question| send(address, question));
    let sockets: Vec<_> = addresses.iter().map(|address| (*address, open(*address))).collect();
    let on_loopback = send(Ipv4Addr::LOCALHOST.into(), Question::Readvar);

    let mut asked = Vec::new();
    for (address, sockets) in sockets {
        let mut answers = [Answer::Silence; 3];
        for ((socket, question), answer) in sockets.into_iter().zip(QUESTIONS).zip(&mut answers) {
            // The address may have been removed since it was listed, and no daemon may listen there.
            if let Some(bytes) = socket.and_then(|socket| receive(&socket, start)).ok().flatten() {
                *answer = question.read(&bytes);
            }
        }
        asked.push((address, answers));
    }
    let told = on_loopback.and_then(|socket| receive(&socket, start)).ok().flatten();
    let release = told
        .filter(|bytes| matches!(Question::Readvar.read(bytes), Answer::Told(_)))
        .and_then(|bytes| release(&bytes));
    Ok(Answers { asked, left_out, release })
}

/// The first few addresses of each family by which other hosts may query the daemon, and how many were left out.
fn choose(own: Vec<IpAddr>) -> (Vec<IpAddr>, usize) {
    let (v4, v6): (Vec<_>, Vec<_>) = own.into_iter().filter(is_global).partition(IpAddr::is_ipv4);
    let all = v4.len() + v6.len();
    let some = |addresses: Vec<IpAddr>| addresses.into_iter().take(ADDRESSES_PER_FAMILY);
    let chosen: Vec<_> = some(v4).chain(some(v6)).collect();
    let left_out = all - chosen.len();
    (chosen, left_out)
}

/// Whether an address is valid beyond one link and one host.
pub(super) fn is_global(address: &IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !(link_local || address.is_loopback() || address.is_multicast() || address.is_unspecified())
}

/// Sends a query.
fn send(address: IpAddr, question: Question) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddr::new(address, 0))?;
    match address {
        IpAddr::V4(_) => socket.set_ttl(1)?,
        IpAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6Ttl, &1)?,
    }
    socket.connect(SocketAddr::new(address, ntp::PORT))?;
    socket.send(&question.packet())?;
    Ok(socket)
}

/// The answer that arrives in the time left; `None` if there is none.
fn receive(socket: &UdpSocket, start: Instant) -> io::Result<Option<Vec<u8>>> {
    let patience = ANSWER_TIMEOUT.saturating_sub(start.elapsed()).max(Duration::from_millis(1));
    socket.set_read_timeout(Some(patience))?;
    let mut bytes = vec![0; ROOM];
    match socket.recv(&mut bytes) {
        Ok(length) => {
            bytes.truncate(length);
            Ok(Some(bytes))
        }
        Err(_nobody_or_nothing) => Ok(None),
    }
}

impl Question {
    fn check(self) -> Check {
        match self {
            Self::Monlist => Check::Monlist,
            Self::Peers => Check::Peers,
            Self::Readvar => Check::Readvar,
        }
    }

    /// The shortest packet of this query, as attackers send it.
    fn packet(self) -> Vec<u8> {
        match self {
            Self::Monlist => frame::usual(7, Some(42)),
            Self::Peers => frame::usual(7, Some(0)),
            Self::Readvar => frame::usual(6, Some(2)),
        }
    }

    /// Parses an answer; a packet that doesn't answer this query counts as silence.
    fn read(self, bytes: &[u8]) -> Answer {
        let question = self.packet();
        let [first, second, .., request, fifth] = *bytes.first_chunk::<5>().unwrap_or(&[0; 5]);
        if self == Self::Readvar {
            // The second octet has the bits response, error and more, and the opcode (RFC 9327 §2).
            return match (first & 7, second & 0x80, second & 0x1f == question[1]) {
                (6, 0x80, true) if second & 0x40 != 0 => Answer::Refused(fifth),
                (6, 0x80, true) => Answer::Told(bytes.len()),
                _ => Answer::Silence,
            };
        }
        // The response bit and the mode, the request code, then four bits of error (ntp_request.h).
        match (first & 0x87, request == question[3], fifth >> 4) {
            (0x87, true, 0) => Answer::Told(bytes.len()),
            (0x87, true, error) => Answer::Refused(error),
            _ => Answer::Silence,
        }
    }
}

/// The release in `version="ntpd ntpsec-1.2.2"` or `version="ntpd 4.2.8p15@1.3728-o …"`.
fn release(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let version = text.split_once("version=\"")?.1.split_once('"')?.0;
    let release = version.strip_prefix("ntpd ")?.split([' ', '@', '+']).next()?;
    Some(release.to_owned())
}

/// One finding for each query, by the daemon's answers and the filter.
pub(super) fn judge(asked: &[(IpAddr, [Answer; 3])], left_out: usize, shield: &Shield) -> Vec<Finding> {
    by(asked, left_out, &shield.places(), |payload, is_v6| shield.meets(payload, is_v6))
}

/// Whether the filter drops monlist over both IPv4 and IPv6.
pub(super) fn is_monlist_dropped(shield: &Shield) -> bool {
    let monlist = Question::Monlist.packet();
    [false, true].iter().all(|is_v6| shield.meets(&monlist, *is_v6) == Met::Dropped)
}

/// Like `judge`, with what a payload of a family meets before the daemon, and the names of the guarded interfaces.
fn by(
    asked: &[(IpAddr, [Answer; 3])],
    left_out: usize,
    places: &str,
    meets: impl Fn(&[u8], bool) -> Met,
) -> Vec<Finding> {
    const SUBJECT: &str = "this host's addresses";
    if asked.is_empty() {
        return vec![Finding::ok(
            Check::Readvar,
            SUBJECT,
            "there are none but loopback and link-local ones, so nobody was asked",
        )];
    }
    let rest =
        if left_out > 0 { format!("; {left_out} more addresses weren't asked") } else { String::new() };
    let judged = QUESTIONS.iter().enumerate().map(|(at, question)| {
        let of = |wanted: fn(&Answer) -> bool| -> Vec<String> {
            let fit = asked.iter().filter(|(_, answers)| wanted(&answers[at]));
            fit.map(|(address, _)| address.to_string()).collect()
        };
        let told = of(|answer| matches!(answer, Answer::Told(_)));
        let refused = of(|answer| matches!(answer, Answer::Refused(_)));
        let check = question.check();
        if told.is_empty() {
            let how = if refused.is_empty() {
                "not answered".to_owned()
            } else {
                format!("answered with an error alone, on {}", refused.join(", "))
            };
            return Finding::ok(check, SUBJECT, how + &rest);
        }
        let longest = asked.iter().map(|(_, answers)| if let Answer::Told(bytes) = answers[at] { bytes } else { 0 }).max();
        let (longest, sent) = (longest.unwrap_or(0), question.packet().len());
        let size = format!("{longest} bytes for {sent} in the first packet");
        let on = told.join(", ");
        let alarm = |message: String| match question {
            Question::Monlist => Finding::failure(check, SUBJECT, message),
            Question::Peers | Question::Readvar => Finding::warning(check, SUBJECT, message),
        };
        // Only the families in which the daemon answers.
        let families = [false, true].into_iter().filter(|is_v6| {
            asked.iter().any(|(address, answers)| {
                address.is_ipv6() == *is_v6 && matches!(answers[at], Answer::Told(_))
            })
        });
        let met = families.map(|is_v6| meets(&question.packet(), is_v6)).max_by_key(|met| match met {
            Met::Dropped => 0,
            Met::Unknown(_) => 1,
            Met::Passed(..) => 2,
            Met::Nothing => 3,
        });
        match met {
            Some(Met::Dropped) => {
                let message = format!("the daemon would answer on {on} ({size}); ntpguard drops it before, on {places}{rest}");
                Finding::ok(check, SUBJECT, message)
            }
            Some(Met::Unknown(why)) => {
                let message = format!("the daemon would answer on {on} ({size}); can't tell whether ntpguard drops it: {why}{rest}");
                Finding::note(check, SUBJECT, message).fix("sudo ntpguard doctor")
            }
            Some(Met::Passed(why, fix)) => {
                alarm(format!("answered on {on}: {size}, and ntpguard lets it pass, since {why}{rest}")).fix(fix)
            }
            Some(Met::Nothing) | None => {
                let fix = "noquery on the lines `restrict default` of ntp.conf (`ntpguard check` names them), or `ntpguard run`";
                alarm(format!("answered on {on}: {size}{rest}")).fix(fix)
            }
        }
    });
    judged.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_answers_to_the_question_are_answers() {
        let monlist = |bytes: &[u8]| Question::Monlist.read(bytes);
        assert_eq!(monlist(&[0xd7, 0, 3, 42, 0, 6, 0, 72]), Answer::Told(8));
        assert_eq!(monlist(&[0x97, 0, 3, 42, 0x40, 0, 0, 0]), Answer::Refused(4));
        for none in [&[0xd7, 0, 3, 0, 0, 0, 0, 0][..], &[0x17, 0, 3, 42, 0, 0, 0, 0], &[0xd7], &[]] {
            assert_eq!(monlist(none), Answer::Silence, "{none:?}");
        }
        let readvar = |bytes: &[u8]| Question::Readvar.read(bytes);
        assert_eq!(readvar(&[0x16, 0x82, 0, 1, 0, 0]), Answer::Told(6));
        assert_eq!(readvar(&[0x16, 0xc2, 0, 1, 2, 0]), Answer::Refused(2));
        assert_eq!(readvar(&[0x16, 0x02, 0, 1, 0, 0]), Answer::Silence, "the question itself");
        assert_eq!(readvar(&[0x16, 0x81, 0, 1, 0, 0]), Answer::Silence, "another opcode");
    }

    #[test]
    fn a_few_global_addresses_are_asked() {
        let own = [
            "127.0.0.1",
            "::1",
            "fe80::1",
            "169.254.0.1",
            "192.0.2.1",
            "192.0.2.2",
            "192.0.2.3",
            "2001:db8::1",
        ];
        let (chosen, left_out) = choose(own.map(address).to_vec());
        assert_eq!(chosen, ["192.0.2.1", "192.0.2.2", "2001:db8::1"].map(address));
        assert_eq!(left_out, 1);
    }

    #[test]
    fn an_address_of_another_host_is_never_asked() {
        // TEST-NET-3 belongs to no host: binding to it fails before anything is sent.
        let error = send(address("203.0.113.1"), Question::Readvar).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[test]
    fn releases() {
        let told = |text: &str| release(format!("\u{16}\0\0\0{text}").as_bytes());
        assert_eq!(told("version=\"ntpd ntpsec-1.2.2\", stratum=5").as_deref(), Some("ntpsec-1.2.2"));
        assert_eq!(told("version=\"ntpd 4.2.8p15@1.3728-o Wed\"").as_deref(), Some("4.2.8p15"));
        assert_eq!(told("version=\"ntpd"), None);
    }

    #[test]
    fn monlist_is_a_failure_and_silence_is_fine() {
        use Answer::{Refused, Silence, Told};
        let asked = [
            (address("192.0.2.1"), [Told(440), Refused(3), Silence]),
            (address("2001:db8::1"), [Silence; 3]),
        ];
        let findings = by(&asked, 2, "", |_, _| Met::Nothing);
        let statuses: Vec<_> = findings.iter().map(|finding| finding.status).collect();
        assert_eq!(statuses, [Status::Failure, Status::Ok, Status::Ok]);
        assert_eq!(
            findings[0].message,
            "answered on 192.0.2.1: 440 bytes for 8 in the first packet; 2 more addresses weren't asked"
        );
        assert!(findings[1].message.starts_with("answered with an error alone, on 192.0.2.1"));
        assert_eq!(
            by(&[(address("192.0.2.1"), [Silence, Silence, Told(400)])], 0, "", |_, _| Met::Nothing)[2]
                .status,
            Status::Warning
        );
    }

    #[test]
    fn what_the_filter_drops_is_no_failure() {
        use Answer::{Silence, Told};
        let open = [Told(440), Silence, Told(364)];
        let asked = [(address("192.0.2.1"), open), (address("2001:db8::1"), open)];
        let statuses = |meets: fn(bool) -> Met| -> Vec<Status> {
            let findings = by(&asked, 0, "eth0", |_, is_v6| meets(is_v6));
            findings.iter().map(|finding| finding.status).collect()
        };
        assert_eq!(statuses(|_| Met::Dropped), [Status::Ok; 3]);
        let dropped = &by(&asked, 0, "eth0", |_, _| Met::Dropped)[0].message;
        assert_eq!(
            dropped,
            "the daemon would answer on 192.0.2.1, 2001:db8::1 (440 bytes for 8 in the first packet); ntpguard drops it before, on eth0"
        );
        let passed = || Met::Passed("eth1 isn't guarded".to_owned(), "see `running`".to_owned());
        assert_eq!(statuses(|_| Met::Unknown(String::new())), [Status::Note, Status::Ok, Status::Note]);
        let by_v6 = by(&asked, 0, "eth0", |_, is_v6| if is_v6 { passed() } else { Met::Dropped });
        assert_eq!(
            (by_v6[0].status, by_v6[2].status),
            (Status::Failure, Status::Warning),
            "one family is enough"
        );
        assert!(by_v6[0].message.ends_with("lets it pass, since eth1 isn't guarded"), "{by_v6:?}");
        // A family in which the daemon doesn't answer has no influence.
        let v4 = [(address("192.0.2.1"), open)];
        let only = by(&v4, 0, "eth0", |_, is_v6| if is_v6 { passed() } else { Met::Dropped });
        assert_eq!(only[0].status, Status::Ok);
    }
}
