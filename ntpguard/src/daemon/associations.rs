//! The associations that the local daemon has, as it lists them itself over loopback (mode 6, RFC 9327).
//!
//! Contract: only 127.0.0.1 and ::1 are asked, only answers from the address that was asked count, and a list is complete
//! or an [`Error`]. An association that forms after the daemon has listed them is missing: whoever has to know those too
//! begins to watch what the daemon sends before asking.

use super::control::{Answer, Malformed, Progress, Question, READSTAT, READVAR, UNKNOWN_ASSOCIATION};
use ntpguard_common::wire::ntp;
use std::{
    collections::BTreeSet,
    error, fmt,
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

/// The variables asked for; ntp.org's ntpd and NTPsec have all of them (ntp_control.c: peer_var, peer_var2).
const VARIABLES: &[u8] = b"srcadr,srcport,hpoll";
/// How many associations are asked for at most; daemons use ten of them.
const MOST: usize = 4096;
/// The versions of questions, in turn. ntpq sends 2. NTPsec answers only version 4 where a restrict line has `version`.
const VERSIONS: [u8; 2] = [2, 4];
/// How often a question is sent, both versions together, before an address counts as silent.
const ATTEMPTS: u32 = 4;
/// How much longer than for the first answer it may take until all are there.
const LONGER_FOR_ALL: u32 = 3;
/// Longer than any datagram of daemons, which is 480 bytes and a MAC. A longer one is cut off, and malformed.
const DATAGRAM: usize = 2048;
/// The longest poll interval, as the exponent of two (RFC 5905 §7.2: MAXPOLL).
const MAX_POLL: u8 = 17;

/// A remote host that the daemon exchanges time packets with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Association {
    /// The peer's unicast address, without the zone of a link-local one (`srcadr`). Local clocks (127.127.0.0/16) are no
    /// associations here, nor are names without an address yet, and multicast groups.
    pub address: IpAddr,
    /// The UDP port that the peer's packets come from, 1 to 65535 (`srcport`): 123, unless NTS has negotiated another one.
    pub port: u16,
    /// The daemon's poll interval, as the exponent of two of seconds, 0 to 17 (`hpoll`; poll exponent in RFC 5905 §7.3).
    pub poll: u8,
}

/// Why the daemon's associations aren't known.
#[derive(Debug)]
pub enum Error {
    /// Nobody answered at either address.
    Silence,
    /// The daemon refused, with an error code of RFC 9327 §3.4.
    Refused(u8),
    /// What answered doesn't speak mode 6 as RFC 9327 describes it.
    Nonsense(&'static str),
    /// The daemon stopped answering before it had described all that it listed, or listed more than 4,096.
    Incomplete {
        /// The associations that it described.
        known: Vec<Association>,
        /// How many others it listed.
        missing: usize,
    },
    /// The operating system doesn't let ntpguard ask.
    Socket(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silence => f.write_str(
                "no daemon answers queries (mode 6) on 127.0.0.1 or ::1: none runs in this network namespace, or its \
                 restrict lines refuse them; `restrict 127.0.0.1` in ntp.conf allows them",
            ),
            Self::Refused(code) => {
                let meaning = ERROR_CODES.get(usize::from(*code)).unwrap_or(&"not in RFC 9327");
                write!(f, "the daemon refuses to list its associations: error {code} ({meaning})")
            }
            Self::Nonsense(what) => {
                write!(f, "what answers on UDP port 123 over loopback isn't a daemon that ntpguard knows: it sent {what}")
            }
            Self::Incomplete { missing, .. } => write!(
                f,
                "the daemon didn't describe {missing} of the associations that it listed: it may limit loopback (`limited` \
                 on its restrict line), be too busy, or have more than {MOST}"
            ),
            Self::Socket(_) => f.write_str("can't ask the daemon over loopback"),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Socket(source) => Some(source),
            _ => None,
        }
    }
}

/// Meanings of the error codes, by number (RFC 9327 §3.4).
const ERROR_CODES: [&str; 8] = [
    "unspecified",
    "authentication failure",
    "invalid message length or format",
    "invalid opcode",
    "unknown association identifier",
    "unknown variable name",
    "invalid variable value",
    "administratively prohibited",
];

impl From<Malformed> for Error {
    fn from(Malformed(what): Malformed) -> Self {
        Self::Nonsense(what)
    }
}

/// Asks the daemon of this network namespace, on 127.0.0.1 and then, if nobody answers there, on ::1. Each gets half of
/// `timeout` for its first answer; once there is one, all of them may take three times `timeout`. A second is plenty.
///
/// # Errors
/// Nobody answers, or not with a complete list.
pub fn ask(timeout: Duration) -> Result<Vec<Association>, Error> {
    ask_port(ntp::PORT, timeout)
}

fn ask_port(port: u16, timeout: Duration) -> Result<Vec<Association>, Error> {
    let end = Instant::now() + timeout * LONGER_FOR_ALL;
    let on =
        |address: IpAddr| Conversation::open(SocketAddr::new(address, port), timeout / 2)?.associations(end);
    match on(Ipv4Addr::LOCALHOST.into()) {
        Err(nobody @ (Error::Silence | Error::Socket(_))) => match on(Ipv6Addr::LOCALHOST.into()) {
            // A host may have no IPv6.
            Err(Error::Silence | Error::Socket(_)) => Err(nobody),
            answer => answer,
        },
        answer => answer,
    }
}

/// Questions to one address, one after the other.
struct Conversation {
    /// Connected, so that it receives from the asked address and port alone.
    socket: UdpSocket,
    /// The sequence number of the latest question.
    sequence: u16,
    /// The version that was answered.
    version: Option<u8>,
    deadline: Instant,
    /// How long to wait before a question is sent again.
    patience: Duration,
}

impl Conversation {
    fn open(address: SocketAddr, timeout: Duration) -> Result<Self, Error> {
        let local = SocketAddr::new(address.ip(), 0);
        let socket = UdpSocket::bind(local).map_err(Error::Socket)?;
        socket.connect(address).map_err(Error::Socket)?;
        let deadline = Instant::now() + timeout;
        Ok(Self { socket, sequence: 0, version: None, deadline, patience: timeout / ATTEMPTS })
    }

    /// All associations, by this time.
    fn associations(&mut self, end: Instant) -> Result<Vec<Association>, Error> {
        let listed = identifiers(&self.answer(READSTAT, 0, &[])?)?;
        self.deadline = end;
        let mut known = Vec::new();
        for (asked, identifier) in listed.iter().enumerate() {
            let answer =
                if asked < MOST { self.answer(READVAR, *identifier, VARIABLES) } else { Err(Error::Silence) };
            match answer {
                Ok(variables) => known.extend(association(&variables)?),
                // It has ended since it was listed.
                Err(Error::Refused(UNKNOWN_ASSOCIATION)) => (),
                Err(Error::Silence) => {
                    return Err(Error::Incomplete { known, missing: listed.len() - asked });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(known)
    }

    /// The data of the answer to a question, which is sent repeatedly until the deadline. Each time it has its own sequence
    /// number, so that fragments of two answers aren't mixed; a late answer to an earlier one still counts.
    fn answer(&mut self, opcode: u8, association: u16, data: &[u8]) -> Result<Vec<u8>, Error> {
        let mut answers: Vec<Answer> = Vec::new();
        let mut malformed = None;
        let mut next = Instant::now();
        loop {
            let now = Instant::now();
            if now >= self.deadline {
                return Err(malformed.map_or(Error::Silence, Error::from));
            }
            if now >= next {
                next = now + self.patience;
                self.sequence = self.sequence.wrapping_add(1);
                let version = self.version.unwrap_or(VERSIONS[answers.len() % VERSIONS.len()]);
                let question = Question { version, opcode, sequence: self.sequence, association };
                reached(self.socket.send(&question.datagram(data)))?;
                answers.push(Answer::to(question));
            }
            let mut datagram = [0; DATAGRAM];
            let Some(length) = self.receive(&mut datagram, next.min(self.deadline))? else { continue };
            for answer in &mut answers {
                match answer.take(&datagram[..length]) {
                    Ok(Progress::Unrelated | Progress::Partial) => (),
                    Ok(Progress::Whole(data)) => {
                        self.version = Some(answer.question.version);
                        return Ok(data);
                    }
                    Ok(Progress::Refused(code)) => return Err(Error::Refused(code)),
                    // Another one may still answer.
                    Err(what) => malformed = Some(what),
                }
            }
        }
    }

    /// The length of a datagram that arrives by this time.
    fn receive(&self, datagram: &mut [u8], until: Instant) -> Result<Option<usize>, Error> {
        // A timeout of 0 would mean none.
        let patience = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.socket.set_read_timeout(Some(patience)).map_err(Error::Socket)?;
        match self.socket.recv(datagram) {
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(None),
            received => reached(received).map(Some),
        }
    }
}

/// The result of a system call on the socket; it reports as well that nobody has the port.
fn reached(result: io::Result<usize>) -> Result<usize, Error> {
    result.map_err(|error| match error.kind() {
        ErrorKind::ConnectionRefused => Error::Silence,
        _ => Error::Socket(error),
    })
}

/// The identifiers in an answer to READSTAT: pairs of an identifier and a status word.
fn identifiers(data: &[u8]) -> Result<BTreeSet<u16>, Malformed> {
    let (pairs, rest) = data.as_chunks::<4>();
    let identifiers: BTreeSet<_> =
        pairs.iter().map(|[high, low, ..]| u16::from_be_bytes([*high, *low])).collect();
    if !rest.is_empty() || identifiers.contains(&0) {
        return Err(Malformed("a list of associations that isn't one"));
    }
    Ok(identifiers)
}

/// The association in an answer to READVAR, such as `srcadr=192.0.2.1, srcport=123, hpoll=6`; `None` if no packets come
/// from it.
fn association(data: &[u8]) -> Result<Option<Association>, Malformed> {
    let text = String::from_utf8_lossy(data);
    let variable =
        |name: &'static str| variables(&text).find(|(known, _)| *known == name).map(|(_, value)| value);
    let port: u16 = number(variable("srcport"), "an association without a port")?;
    let poll: u8 = number(variable("hpoll"), "an association without a poll interval")?;
    let address = match variable("srcadr") {
        // NTPsec leaves the variable away, or puts a remark in parentheses, where a name has no address yet.
        None => return Ok(None),
        Some(remark) if remark.starts_with('(') => return Ok(None),
        Some(address) => address.split('%').next().and_then(|address| address.parse::<IpAddr>().ok()),
    };
    let address = address.ok_or(Malformed("an association whose address isn't one"))?;
    let is_clock = matches!(address, IpAddr::V4(v4) if v4.octets()[..2] == [127, 127]);
    if is_clock || address.is_unspecified() || address.is_multicast() || port == 0 {
        return Ok(None);
    }
    Ok(Some(Association { address, port, poll: poll.min(MAX_POLL) }))
}

fn number<T: std::str::FromStr>(value: Option<&str>, fault: &'static str) -> Result<T, Malformed> {
    value.and_then(|value| value.parse().ok()).ok_or(Malformed(fault))
}

/// Names and values of a list such as `a=1, b="2, 3"` (RFC 9327 §4); names without a value are left out.
fn variables(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut is_quoted = false;
    let items = text.split(move |c| {
        is_quoted ^= c == '"';
        c == ',' && !is_quoted
    });
    items.filter_map(|item| {
        let (name, value) = item.split_once('=')?;
        let value = value.trim();
        let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        Some((name.trim(), quoted.unwrap_or(value)))
    })
}

#[cfg(test)]
mod tests;
