//! From the command line to an access list: which file is read, for which daemon, with whose addresses.

use crate::{
    conf::{
        AccessList,
        diagnostic::{Code, Diagnostic},
        ntp,
    },
    daemon::{
        choice::Choice,
        detect::{self, Detected},
    },
    host::{
        addresses,
        fault::{Blame as _, Fault},
        file_changes::Fingerprint,
    },
};
use anyhow::{Context as _, anyhow};
use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// Default paths of ntp.conf in the packages of NTPsec and of ntp.org's ntpd.
pub(crate) const DEFAULT_CONFIGS: [&str; 2] = ["/etc/ntpsec/ntp.conf", "/etc/ntp.conf"];
/// Default paths of other daemons' configuration files, and those daemons' names.
const FOREIGN_CONFIGS: [(&str, &str); 5] = [
    ("/etc/chrony/chrony.conf", "chrony"),
    ("/etc/chrony.conf", "chrony"),
    ("/etc/ntpd-rs/ntp.toml", "ntpd-rs"),
    ("/etc/openntpd/ntpd.conf", "OpenNTPD"),
    ("/etc/ntpd.conf", "OpenNTPD"),
];

/// A configuration that was read, and the reasons for reading it this way.
pub struct Read {
    /// The file; `None` if there is none.
    pub path: Option<PathBuf>,
    /// The access list that the file gives.
    pub conf: AccessList,
    /// For people: which file was read, as which daemon reads it, and why.
    pub because: String,
}

/// Finds the file and the daemon, and reads the file as that daemon does.
///
/// # Errors
/// The file can't be read, or the daemon itself would refuse it; or there is neither a file nor an ntpd.
pub fn read(config: Option<&Path>, choice: &Choice) -> Result<Read, Fault> {
    read_noting(config, choice, &mut Fingerprint::default())
}

/// Like [`read`], and records every path probed in `sought`, even on failure; a change to one of them triggers a retry.
///
/// # Errors
/// As for [`read`].
pub fn read_noting(config: Option<&Path>, choice: &Choice, sought: &mut Fingerprint) -> Result<Read, Fault> {
    if config.is_none() {
        // A default file that appears later is read instead.
        DEFAULT_CONFIGS.iter().for_each(|path| sought.look(Path::new(path)));
    }
    let found = detect::daemon(config);
    if config.is_none() && choice.dialect.is_none() {
        readable(found.as_ref()).configuration()?;
    }
    let named = choice.named_file(found.as_ref());
    let of_daemon = || found.as_ref()?.config.clone().filter(|path| path.is_file());
    let path = match config.map(Path::to_owned).or(named) {
        Some(path) => Some(path),
        None => match of_daemon() {
            Some(path) => Some(path),
            None => default_config().configuration()?,
        },
    };
    let (daemon, why) = choice.daemon(found.as_ref(), path.as_deref());
    let beside = || {
        DEFAULT_CONFIGS.map(PathBuf::from).into_iter().find(|path| ntp::folder_beside(path, daemon).is_some())
    };
    let path = path.or_else(beside);
    if path.is_none() && found.is_none() && choice.dialect.is_none() {
        return Err(Fault::Configuration(nothing_to_guard()));
    }
    let (command, said_by) = choice.command(found.as_ref(), daemon);
    let words = command.to_string();
    let mut conf = ntp::read_noting(path.as_deref(), daemon, command, sought).configuration()?;
    if let Some(found) = found.as_ref().filter(|found| is_its_own(found, path.as_deref())) {
        conf.diagnostics.extend(older(found, conf.files.iter().map(|file| &*file.path)));
    }
    let file = match &path {
        Some(path) => path.display().to_string(),
        None => {
            let [sec, org] = DEFAULT_CONFIGS;
            format!("neither {sec} nor {org}, so from what is built in")
        }
    };
    let mut because = format!("policy from {file}, read as {daemon} does ({why})");
    if !words.is_empty() {
        because += &format!("; the daemon's command line ({said_by}) says: {words}");
    }
    let others = found.map(|found| found.others).unwrap_or_default();
    if !others.is_empty() {
        because += &format!("; beside it {} holds UDP port 123, and isn't read", others.join(", "));
    }
    Ok(Read { path, conf, because })
}

/// Fails if the daemon that holds the port is one that reads no ntp.conf.
fn readable(found: Option<&Detected>) -> anyhow::Result<()> {
    let Some(found) = found.filter(|found| found.program.daemon().is_none()) else { return Ok(()) };
    Err(anyhow!(
        "{} holds UDP port 123 ({}), and ntpguard doesn't read its configuration yet: it can guard ntp.org's ntpd and \
         NTPsec's; to read an ntp.conf all the same, name it (--config FILE; `ntpguard check FILE`)",
        found.program,
        found.because
    ))
}

/// The error for a host that has neither an ntp.conf nor an ntpd.
fn nothing_to_guard() -> anyhow::Error {
    let [sec, org] = DEFAULT_CONFIGS;
    let foreign = FOREIGN_CONFIGS.iter().find(|(path, _)| Path::new(path).exists());
    let foreign = foreign
        .map(|(path, name)| format!("; {path} is {name}'s configuration, which ntpguard doesn't read yet"));
    anyhow!(
        "there is neither {sec} nor {org}, and no ntpd runs or is installed here: there is nothing to guard{}; name the \
         file, or with --dialect the daemon that runs without one",
        foreign.unwrap_or_default()
    )
}

/// Whether the detected daemon reads this very file.
fn is_its_own(found: &Detected, path: Option<&Path>) -> bool {
    let Some(path) = path else { return false };
    let same = |other: &Path| match (fs::canonicalize(path), fs::canonicalize(other)) {
        (Ok(path), Ok(other)) => path == other,
        _ => path == other,
    };
    match &found.config {
        Some(config) => same(config),
        None => DEFAULT_CONFIGS.iter().any(|default| same(Path::new(default))),
    }
}

/// The diagnostic for a daemon that was started before one of these files was changed.
fn older<'a>(found: &Detected, files: impl Iterator<Item = &'a Path>) -> Option<Diagnostic> {
    let since = found.since?;
    let (path, changed) = changed_since(since, files)?;
    let ago = |seconds: u64| {
        humantime::format_rfc3339_seconds(UNIX_EPOCH + std::time::Duration::from_secs(seconds))
    };
    let message = format!(
        "the daemon ({}) was started at {}, and {} changed at {}: until it is restarted it goes by what it read then, and \
         ntpguard by what is there now",
        found.because,
        ago(since),
        path.display(),
        ago(changed)
    );
    Some(Diagnostic {
        code: Code::DaemonOlder,
        place: None,
        message,
        help: Some("restart the daemon".to_owned()),
    })
}

/// The first file that was changed after `since`, and when; both in seconds since 1970. One second is tolerated, since
/// a process's start is known only to the second.
pub(crate) fn changed_since<'a>(
    since: u64,
    files: impl Iterator<Item = &'a Path>,
) -> Option<(&'a Path, u64)> {
    let changed = |path: &Path| -> Option<u64> {
        let time: SystemTime = fs::metadata(path).ok()?.modified().ok()?;
        Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs())
    };
    files.filter_map(|path| Some((path, changed(path)?))).find(|(_, changed)| *changed > since + 1)
}

/// A sentence for `status` if the daemon that runs here was started before the files of the policy in force were
/// changed.
pub(crate) fn older_than(files: &[String]) -> Option<String> {
    let found = detect::daemon(None)?;
    let first = files.first().map(Path::new);
    is_its_own(&found, first).then_some(())?;
    Some(older(&found, files.iter().map(Path::new))?.message)
}

/// The addresses of the daemon's host: those given, or this host's.
///
/// # Errors
/// The kernel doesn't report its addresses.
pub fn local_addresses(given: &[IpAddr]) -> Result<Vec<IpAddr>, Fault> {
    if given.is_empty() { addresses::addresses().environment() } else { Ok(given.to_owned()) }
}

/// The default file that exists. One whose existence can't be determined is an error: it must not be ignored as if
/// absent.
fn default_config() -> anyhow::Result<Option<PathBuf>> {
    for path in DEFAULT_CONFIGS.map(Path::new) {
        if path.try_exists().with_context(|| format!("can't tell whether {} is there", path.display()))? {
            return Ok(Some(path.to_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::release::Program;

    fn found(program: Program, since: Option<u64>) -> Detected {
        let (because, arguments) = ("process 7, /usr/sbin/ntpd".to_owned(), None);
        Detected { program, because, arguments, config: None, since, others: Vec::new() }
    }

    #[test]
    fn a_daemon_that_is_older_than_its_file_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let at = |since| older(&found(Program::NtpSec, Some(since)), [file.path()].into_iter());
        assert_eq!(at(now + 5), None);
        let told = at(now - 600).unwrap();
        assert!(told.message.contains("process 7") && told.code == Code::DaemonOlder, "{told:?}");
        assert_eq!(older(&found(Program::NtpSec, None), [file.path()].into_iter()), None, "nobody knows");
        let gone = [Path::new("/nonexistent")].into_iter();
        assert_eq!(older(&found(Program::NtpSec, Some(0)), gone), None);
    }

    #[test]
    fn a_daemon_without_an_ntp_conf_is_named() {
        let chrony = found(Program::Foreign("chronyd"), None);
        let words = readable(Some(&chrony)).unwrap_err().to_string();
        assert!(words.starts_with("chronyd holds UDP port 123"), "{words}");
        assert!(readable(Some(&found(Program::NtpSec, None))).is_ok() && readable(None).is_ok());
        let (_, why) = Choice::default().daemon(Some(&chrony), None);
        assert!(why.contains("a guess: chronyd holds"), "{why}");
    }
}
