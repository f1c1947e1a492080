//! A sampled drop with names instead of numbers: `events` prints it as a JSON object per line, and a guard sends it to
//! followers.

use ntpguard_common::{Action, Reason};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, net::IpAddr};

/// One packet that was dropped or answered, or would have been in a trial.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Event {
    /// When it arrived, in nanoseconds since 1970.
    pub time_ns: u64,
    /// The interface that it arrived at.
    pub interface: String,
    /// Its source address; `None` if the frame hides it (a fragment, or too many headers).
    pub source: Option<IpAddr>,
    /// Its UDP source port.
    pub port: Option<u16>,
    /// The NTP mode, 0 to 7.
    pub mode: Option<u8>,
    /// The NTP version, 0 to 7.
    pub version: Option<u8>,
    /// What a query asks for: the opcode of mode 6 or the request code of mode 7, as a word.
    pub request: Option<String>,
    /// The frame's length in bytes.
    pub length: u32,
    /// Why it was dropped.
    #[serde(serialize_with = "name", deserialize_with = "named")]
    pub reason: Reason,
    /// The line to blame, if there is one.
    pub cause: Option<Blamed>,
    /// How many packets this one stands for, including itself: sums of these are estimates.
    pub scale: u32,
    /// Whether this was a trial, so that nothing was dropped.
    pub trial: bool,
    /// The frame's first bytes in hexadecimal, if a follower asked for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<String>,
}

/// A line of ntp.conf.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Hash, Serialize)]
pub struct Blamed {
    /// The file that contains it.
    pub file: String,
    /// The line number, from 1.
    pub line: usize,
    /// The line as written.
    pub text: String,
}

fn name<S: Serializer>(reason: &Reason, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(reason.name())
}

fn named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Reason, D::Error> {
    let name = String::deserialize(deserializer)?;
    let found = Reason::ALL.iter().find(|reason| reason.name() == name);
    found.copied().ok_or_else(|| D::Error::custom(format!("no reason is called {name}")))
}

impl Event {
    /// What happened to it, as a word.
    pub const fn verb(&self) -> &'static str {
        match self.reason.action() {
            Action::Transmit => "answered",
            Action::Drop | Action::Pass if self.trial => "would be dropped",
            Action::Drop | Action::Pass => "dropped",
        }
    }

    /// What it asked for, such as `mode 7 monlist` or `mode 3`.
    pub fn asked(&self) -> String {
        match (self.mode, &self.request) {
            (Some(mode), Some(request)) => format!("mode {mode} {request}"),
            (Some(mode), None) => format!("mode {mode}"),
            _ => "unread".to_owned(),
        }
    }
}

impl fmt::Display for Blamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, text } = self;
        write!(f, "{file}:{line}: {text}")
    }
}

/// The word for what the first bytes of a payload ask for: the opcode of mode 6 (RFC 9327 §2), or the request code of mode 7
/// (ntp.org's ntp_request.h).
pub fn request(head: &[u8]) -> Option<String> {
    let (numbers, number): (&[(u8, &str)], u8) = match head {
        [first, second, ..] if first & 7 == 6 => (&OPERATIONS, second & 0x1f),
        [first, _, _, code, ..] if first & 7 == 7 => (&REQUESTS, *code),
        _ => return None,
    };
    let known = numbers.iter().find(|(known, _)| *known == number);
    Some(known.map_or_else(|| format!("request {number}"), |(_, name)| (*name).to_owned()))
}

/// The words that [`request`] may return for a mode, apart from `request N`.
pub fn requests(mode: u8) -> impl Iterator<Item = &'static str> {
    let names: &[(u8, &str)] = match mode {
        6 => &OPERATIONS,
        7 => &REQUESTS,
        _ => &[],
    };
    names.iter().map(|(_, name)| *name)
}

const OPERATIONS: [(u8, &str); 13] = [
    (1, "readstat"),
    (2, "readvar"),
    (3, "writevar"),
    (4, "readclock"),
    (5, "writeclock"),
    (6, "settrap"),
    (7, "trap"),
    (8, "configure"),
    (9, "saveconfig"),
    (10, "mrulist"),
    (11, "ordlist"),
    (12, "nonce"),
    (31, "unsettrap"),
];

/// The requests whose answer is larger than the query, and other well-known ones.
const REQUESTS: [(u8, &str); 12] = [
    (0, "peer-list"),
    (1, "peer-list-sum"),
    (2, "peer-info"),
    (3, "peer-stats"),
    (4, "sys-info"),
    (5, "sys-stats"),
    (6, "io-stats"),
    (7, "mem-stats"),
    (8, "loop-info"),
    (16, "get-restrict"),
    (20, "monlist-old"),
    (42, "monlist"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_names() {
        assert_eq!(request(&[0x17, 0, 3, 42]).unwrap(), "monlist");
        assert_eq!(request(&[0x16, 2]).unwrap(), "readvar");
        assert_eq!(request(&[0x17, 0, 3, 200]).unwrap(), "request 200");
        assert_eq!(request(&[0x17, 0]), None);
        assert_eq!(request(&[0x23, 0, 0, 0]), None);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let event = Event {
            time_ns: 1_700_000_000_000_000_001,
            interface: "eth0".to_owned(),
            source: Some([192, 0, 2, 1].into()),
            port: Some(80),
            mode: Some(7),
            version: Some(2),
            request: request(&[0x17, 0, 3, 42]),
            length: 60,
            reason: Reason::Noquery,
            cause: Some(Blamed {
                file: "/etc/ntp.conf".to_owned(),
                line: 3,
                text: "restrict default noquery".to_owned(),
            }),
            scale: 8,
            trial: false,
            frame: None,
        };
        let line = serde_json::to_string(&event).unwrap();
        assert!(line.contains(r#""reason":"noquery""#) && !line.contains("frame"), "{line}");
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
        assert!(serde_json::from_str::<Event>(&line.replace("noquery\"", "none\"")).is_err());
        assert_eq!((event.verb(), event.asked().as_str()), ("dropped", "mode 7 monlist"));
    }
}
