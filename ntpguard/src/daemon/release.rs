//! Recognises a program and its release by its bytes and its name. It isn't run, since any user may call a program
//! ntpd.

use crate::daemon::dialect::{
    Daemon,
    Dialect::{Ntp426, Ntp428, NtpSec},
    Ordering,
};
use std::{fmt, path::Path};

/// A program that may hold UDP port 123.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// NTPsec's ntpd, whose binary doesn't have the release beside its name.
    NtpSec,
    /// ntp.org's ntpd, with its release: `4.2.8p15`, `4.2.6p5-RC1`.
    NtpOrg(String),
    /// A program called ntpd that can't be read, or that users other than root may have written.
    Unseen,
    /// A daemon whose configuration ntpguard doesn't read yet, with its name.
    Foreign(&'static str),
}

/// Process names of other daemons.
const FOREIGN: [(&str, &str); 4] = [
    ("chronyd", "chronyd"),
    ("ntp-daemon", "ntpd-rs"),
    ("systemd-timesyn", "systemd-timesyncd"),
    ("ptp4l", "ptp4l"),
];
/// Strings in the binaries of other daemons that are called ntpd as well.
const FOREIGN_NTPD: [(&[u8], &str); 3] =
    [(b"/ntpd.conf", "OpenNTPD"), (b"BusyBox v", "BusyBox's ntpd"), (b"ntpd-rs", "ntpd-rs")];

impl Program {
    /// The program, by the name of its process (proc_pid_comm(5): 15 characters at most), if that suffices.
    pub fn named(name: &str) -> Option<Self> {
        let known = FOREIGN.iter().find(|(known, _)| *known == name)?;
        Some(Self::Foreign(known.1))
    }

    /// By the release that an ntpd reports of itself, without its name: `4.2.8p15`, `ntpsec-1.2.2`.
    pub fn reported(release: &str) -> Self {
        if release.starts_with("ntpsec") { Self::NtpSec } else { Self::NtpOrg(release.to_owned()) }
    }

    /// The program, by the bytes of its binary.
    pub fn in_binary(bytes: &[u8]) -> Option<Self> {
        if find(bytes, b"ntpsec-").is_some() {
            return Some(Self::NtpSec);
        }
        if let Some(release) = release(bytes) {
            return Some(Self::NtpOrg(release));
        }
        let foreign = FOREIGN_NTPD.iter().find(|(mark, _)| find(bytes, mark).is_some());
        foreign.map(|(_, name)| Self::Foreign(name))
    }

    /// The daemon that it reads ntp.conf as; for a release that ntpguard doesn't know, the nearest one. `None` for a
    /// program without an ntp.conf.
    pub fn daemon(&self) -> Option<Daemon> {
        match self {
            Self::NtpSec => Some(Daemon::new(NtpSec)),
            Self::Unseen => Some(Daemon::new(Ntp428)),
            Self::Foreign(_) => None,
            Self::NtpOrg(release) => Some(match numbers(release) {
                Some([a, b, c, _]) if [a, b, c] < [4, 2, 7] => Daemon::new(Ntp426),
                Some(release) if ([4, 2, 8, 18]..[4, 3, 0, 0]).contains(&release) => Daemon::new(Ntp428),
                _ => Daemon { dialect: Ntp428, ordering: Ordering::P17 },
            }),
        }
    }

    /// Whether it is a release whose reading of ntp.conf ntpguard knows: 4.2.6, 4.2.8 and NTPsec.
    pub fn is_known(&self) -> bool {
        match self {
            Self::NtpSec => true,
            Self::Foreign(_) | Self::Unseen => false,
            Self::NtpOrg(release) => {
                numbers(release).is_some_and(|[a, b, c, _]| [[4, 2, 6], [4, 2, 8]].contains(&[a, b, c]))
            }
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NtpSec => f.write_str("ntpsec"),
            Self::NtpOrg(release) => f.write_str(release),
            Self::Unseen => f.write_str("an ntpd whose release can't be seen"),
            Self::Foreign(name) => f.write_str(name),
        }
    }
}

/// The release in the binary of ntp.org's ntpd, as the daemon itself reports it: `ntpd 4.2.6p5-RC1@1.2349-o …`.
fn release(bytes: &[u8]) -> Option<String> {
    let prefix = b"ntpd 4.";
    let rest = &bytes[find(bytes, prefix)? + b"ntpd ".len()..];
    let release = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || b".-".contains(b));
    // No release name is longer.
    Some(release.take(32).map(|&b| char::from(b)).collect())
}

/// The four numbers of a release of ntp.org's: for `4.2.7p26`, 4, 2, 7 and 26; what follows is ignored.
pub fn numbers(release: &str) -> Option<[u32; 4]> {
    let (numbers, patch) = release.split_once('p').unwrap_or((release, "0"));
    let digits =
        |text: &str| text[..text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())].parse().ok();
    let mut parts = numbers.split('.').map(digits);
    let mut next = || parts.next()?;
    Some([next()?, next()?, next()?, digits(patch)?])
}

/// The absolute path of the ntp.conf that is built into a program: the first string that looks like one.
pub fn built_in_config(program: &[u8]) -> Option<&Path> {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
    let strings = program.split(|&b| b == 0).filter(|string| string.ends_with(b"/ntp.conf"));
    // Bytes that aren't text may precede a string.
    let mut paths =
        strings.filter(|string| string.starts_with(b"/") && string.iter().all(u8::is_ascii_graphic));
    paths.next().map(|path| Path::new(OsStr::from_bytes(path)))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(text: &str) -> Option<Program> {
        Program::in_binary(format!("\x7fELF\0{text}\0").as_bytes())
    }

    #[test]
    fn releases_and_how_they_read() {
        let old = Daemon { dialect: Ntp428, ordering: Ordering::P17 };
        for (text, release, daemon, known) in [
            ("ntpd ntpsec-%s", "ntpsec", Daemon::new(NtpSec), true),
            ("ntpd 4.2.6p5@1.2349-o", "4.2.6p5", Daemon::new(Ntp426), true),
            ("ntpd 4.2.6p5-RC1@1.2349-o", "4.2.6p5-RC1", Daemon::new(Ntp426), true),
            ("ntpd 4.2.6p5-RCGO@1.2349-o", "4.2.6p5-RCGO", Daemon::new(Ntp426), true),
            ("ntpd 4.2.4p8@1.1612-o", "4.2.4p8", Daemon::new(Ntp426), false),
            ("ntpd 4.1.2@1.892", "4.1.2", Daemon::new(Ntp426), false),
            ("ntpd 4.2.7p404@1.2483-o", "4.2.7p404", old, false),
            ("ntpd 4.2.8@1.3265-o", "4.2.8", old, true),
            ("ntpd 4.2.8p15@1.3728-o", "4.2.8p15", old, true),
            ("ntpd 4.2.8p18@1.4062-o", "4.2.8p18", Daemon::new(Ntp428), true),
            ("ntpd 4.2.8p18-RC1@1.4062-o", "4.2.8p18-RC1", Daemon::new(Ntp428), true),
            ("ntpd 4.3.91@1.2483-o", "4.3.91", old, false),
        ] {
            let found = program(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(
                (found.to_string().as_str(), found.daemon(), found.is_known()),
                (release, Some(daemon), known),
                "{text}"
            );
        }
        assert_eq!(program("ntpd %s"), None);
        assert_eq!(program("openntpd"), None);
    }

    #[test]
    fn other_daemons() {
        assert_eq!(program("/etc/openntpd/ntpd.conf"), Some(Program::Foreign("OpenNTPD")));
        assert_eq!(program("BusyBox v1.35.0"), Some(Program::Foreign("BusyBox's ntpd")));
        assert_eq!(Program::named("chronyd"), Some(Program::Foreign("chronyd")));
        assert_eq!(Program::named("systemd-timesyn"), Some(Program::Foreign("systemd-timesyncd")));
        assert_eq!(Program::named("ntpd"), None);
        assert_eq!(Program::Foreign("chronyd").daemon(), None);
    }

    #[test]
    fn the_file_in_the_program() {
        let found = |bytes| built_in_config(bytes);
        assert_eq!(
            found(b"\x7fELF\0/etc/ntpsec/ntp.conf\0v1.2.2\0"),
            Some(Path::new("/etc/ntpsec/ntp.conf"))
        );
        assert_eq!(
            found(b"\0see /etc/ntp.conf\0/usr/local/etc/ntp.conf\0"),
            Some(Path::new("/usr/local/etc/ntp.conf"))
        );
        assert_eq!(found(b"\0ntp.conf\0/etc/ntp.conf.d\0"), None);
    }
}
