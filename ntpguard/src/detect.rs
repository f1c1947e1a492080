//! Which daemon this host has, without running it: from its binary's bytes, and from where the file lies.

use crate::{
    dialect::{
        Daemon,
        Dialect::{Ntp426, Ntp428, NtpSec},
        Ordering,
    },
    sandbox,
};
use std::{
    ffi::OsStr,
    fs,
    io::ErrorKind,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// Where packages and installations from source put it.
const PLACES: [&str; 5] =
    ["/usr/sbin/ntpd", "/usr/local/sbin/ntpd", "/usr/bin/ntpd", "/usr/local/bin/ntpd", "/sbin/ntpd"];

/// What was found, and how.
#[derive(Clone)]
pub struct Detected {
    /// The daemon.
    pub daemon: Daemon,
    /// What speaks for it.
    pub because: String,
}

/// Finds the daemon: the one that runs, the one that is installed, or the one whose file lies in such a place. In its sandbox
/// a process sees less of that than at its start, and goes on with what it found then: a reload mustn't be another
/// daemon's reading of the file.
pub fn daemon(config: Option<&Path>) -> Option<Detected> {
    static BEFORE: Mutex<Option<Detected>> = Mutex::new(None);
    let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    if before.is_none() || !sandbox::is_entered() {
        *before = find_daemon(config);
    }
    before.clone()
}

fn find_daemon(config: Option<&Path>) -> Option<Detected> {
    let installed = PLACES.iter().map(PathBuf::from);
    let mut found = running().into_iter().chain(installed).filter_map(|binary| {
        let daemon = in_binary(&trusted(&binary)?)?;
        Some(Detected { daemon, because: binary.display().to_string() })
    });
    found.next().or_else(|| by_place(config?))
}

/// Packages of NTPsec put the file into a folder of that name.
fn by_place(config: &Path) -> Option<Detected> {
    let ntpsec = config.components().any(|part| part.as_os_str() == "ntpsec");
    ntpsec.then(|| Detected { daemon: Daemon::new(NtpSec), because: config.display().to_string() })
}

/// The binaries of processes called ntpd.
fn running() -> Vec<PathBuf> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let ntpd = processes.flatten().filter(|process| {
        fs::read_to_string(process.path().join("comm")).is_ok_and(|name| name.trim_end() == "ntpd")
    });
    ntpd.map(|process| binary(&process.path())).collect()
}

/// A process's binary: by its link, or where only root with all rights may follow that (CAP_SYS_PTRACE, which a service has
/// not), by the path that it was started with. Whoever chooses that could as well start what is there.
fn binary(process: &Path) -> PathBuf {
    let link = process.join("exe");
    let named = || {
        let line = fs::read(process.join("cmdline")).ok()?;
        let first = line.split(|byte| *byte == 0).next()?;
        Some(PathBuf::from(OsStr::from_bytes(first))).filter(|path| path.is_absolute())
    };
    let is_denied = fs::metadata(&link).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
    named().filter(|_| is_denied).unwrap_or(link)
}

/// A binary that only root can have put there: whoever may call a process ntpd must not choose how the file is read.
fn trusted(binary: &Path) -> Option<Vec<u8>> {
    let metadata = fs::metadata(binary).ok()?;
    let root_alone = metadata.uid() == 0 && metadata.mode() & 0o022 == 0;
    if metadata.is_file() && root_alone { fs::read(binary).ok() } else { None }
}

/// The version string in a binary: `ntpd ntpsec-%s`, or `ntpd 4.2.8p15@1.3728-o …`.
fn in_binary(bytes: &[u8]) -> Option<Daemon> {
    if find(bytes, b"ntpsec-").is_some() {
        return Some(Daemon::new(NtpSec));
    }
    let after = |prefix: &[u8]| find(bytes, prefix).map(|at| &bytes[at + prefix.len()..]);
    if let Some(rest) = after(b"ntpd 4.2.8") {
        // `p18@…`, or `@…` for the first release.
        let digits = rest.iter().skip(1).map(|&b| char::from(b)).take_while(char::is_ascii_digit);
        let patch: u32 = match rest.first() {
            Some(b'p') => digits.collect::<String>().parse().unwrap_or(0),
            _ => 0,
        };
        let ordering = if patch < 18 { Ordering::P17 } else { Ordering::P18 };
        return Some(Daemon { dialect: Ntp428, ordering });
    }
    after(b"ntpd 4.2.6").map(|_| Daemon::new(Ntp426))
}

/// The release that a binary names, as its daemon would: `4.2.6p5`; of NTPsec `ntpsec` alone, whose number stands elsewhere.
pub fn release(bytes: &[u8]) -> Option<String> {
    if find(bytes, b"ntpsec-").is_some() {
        return Some("ntpsec".to_owned());
    }
    let prefix = b"ntpd 4.";
    let rest = &bytes[find(bytes, prefix)? + b"ntpd ".len()..];
    let release = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'.');
    // So long is no release.
    Some(release.take(32).map(|&b| char::from(b)).collect())
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_strings() {
        let in_binary = |text: &str| in_binary(format!("\x7fELF{text}\0").as_bytes());
        assert_eq!(in_binary("ntpd ntpsec-%s"), Some(Daemon::new(NtpSec)));
        assert_eq!(in_binary("ntpd 4.2.6p5@1.2349-o"), Some(Daemon::new(Ntp426)));
        assert_eq!(in_binary("ntpd 4.2.8p18@1.4062-o"), Some(Daemon::new(Ntp428)));
        let old = Daemon { dialect: Ntp428, ordering: Ordering::P17 };
        assert_eq!(in_binary("ntpd 4.2.8p15@1.3728-o"), Some(old));
        assert_eq!(in_binary("ntpd 4.2.8@1.3265-o"), Some(old), "the first release");
        assert_eq!(in_binary("openntpd"), None);
    }

    #[test]
    fn releases() {
        let release = |text: &str| release(format!("\x7fELF{text}\0").as_bytes());
        assert_eq!(release("ntpd ntpsec-%s").as_deref(), Some("ntpsec"));
        assert_eq!(release("ntpd 4.2.6p5@1.2349-o").as_deref(), Some("4.2.6p5"));
        assert_eq!(release("ntpd 4.2.8@1.3265-o").as_deref(), Some("4.2.8"));
        assert_eq!(release("ntpd %s"), None);
        assert_eq!(release("openntpd"), None);
    }

    #[test]
    fn the_place_of_the_file() {
        assert_eq!(by_place(Path::new("/etc/ntpsec/ntp.conf")).unwrap().daemon, Daemon::new(NtpSec));
        assert!(by_place(Path::new("/etc/ntp.conf")).is_none());
    }

    #[test]
    fn a_binary_that_others_can_write_is_not_believed() {
        use std::os::unix::fs::PermissionsExt as _;
        let binary = tempfile::NamedTempFile::new().unwrap();
        fs::write(binary.path(), "ntpd 4.2.6p5@1").unwrap();
        let mode = |mode| fs::set_permissions(binary.path(), fs::Permissions::from_mode(mode)).unwrap();
        mode(0o755);
        assert_eq!(trusted(binary.path()).is_some(), nix::unistd::geteuid().is_root());
        mode(0o775);
        assert_eq!(trusted(binary.path()), None);
        assert_eq!(trusted(Path::new("/nonexistent")), None);
    }
}
