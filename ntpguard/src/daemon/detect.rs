//! Detects this host's daemon without running it: the one that holds UDP port 123 in this network namespace, the one
//! that is installed, or the one that the path of the configuration file suggests.

use crate::{
    daemon::{
        CommandLine,
        dialect::{Daemon, Dialect},
        holder::{self, Holder},
        release::Program,
        socket, unit,
    },
    host::sandbox,
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// Where packages and installations from source put ntpd.
const PLACES: [&str; 5] =
    ["/usr/sbin/ntpd", "/usr/local/sbin/ntpd", "/usr/bin/ntpd", "/usr/local/bin/ntpd", "/sbin/ntpd"];

/// The daemon that was found, and how.
#[derive(Clone, Debug)]
pub struct Detected {
    /// The program.
    pub program: Program,
    /// The evidence for it.
    pub because: String,
    /// Its command line without the program's name, and where that was found: the running process, or else the service
    /// that would start it.
    pub arguments: Option<(Vec<String>, String)>,
    /// The configuration file on a running daemon's command line, or the one built into it.
    pub config: Option<PathBuf>,
    /// When the running daemon was started, in seconds since 1970.
    pub since: Option<u64>,
    /// Other daemons' processes that hold the port as well.
    pub others: Vec<String>,
}

impl Detected {
    /// Its command line; empty if unknown.
    pub fn command(&self, dialect: Dialect) -> CommandLine {
        let (words, _) = self.arguments.as_ref().map_or((&[][..], ""), |(words, from)| (words, from));
        CommandLine::parse(words, dialect)
    }
}

/// Whether any process of this network namespace holds UDP port 123.
///
/// # Errors
/// The kernel doesn't report its sockets.
pub fn is_running() -> io::Result<bool> {
    Ok(!socket::sockets(Path::new("/"))?.is_empty())
}

/// Finds the daemon. In its sandbox a process sees less than at its start, and keeps what it found then: a reload must
/// not switch to another daemon's reading of the file.
pub fn daemon(config: Option<&Path>) -> Option<Detected> {
    static BEFORE: Mutex<Option<Detected>> = Mutex::new(None);
    let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    if before.is_none() || !sandbox::is_entered() {
        *before = find(Path::new("/"), config);
    } else if let (Some(before), Some(now)) = (&mut *before, running(Path::new("/"), config)) {
        // The start time stays visible, and the daemon may have been restarted since. Or it may have been started at
        // all only now: then its own command line applies, not that of its unit.
        if before.since.is_none() && before.program.daemon() == now.program.daemon() {
            (before.arguments, before.config, before.because) = (now.arguments, now.config, now.because);
        }
        before.since = now.since;
    }
    before.clone()
}

fn find(root: &Path, config: Option<&Path>) -> Option<Detected> {
    running(root, config).or_else(|| {
        let mut found = installed(root).or_else(|| by_place(config?))?;
        let started = unit::started(root);
        found.arguments = started.map(|started| (started.arguments, started.from.display().to_string()));
        // The file that it will read when it is started.
        let named = found.program.daemon().and_then(|daemon| found.command(daemon.dialect).config);
        found.config = named.filter(|path| path.is_absolute()).or(found.config);
        Some(found)
    })
}

/// The daemon that holds the port. An ntpd takes precedence over other programs; of several, the first one does.
fn running(root: &Path, config: Option<&Path>) -> Option<Detected> {
    let sockets = socket::sockets(root).ok()?;
    let mut holders = holder::holders(root, &sockets).ok()?.all;
    for holder in
        holders.iter_mut().filter(|holder| holder.program.is_none() && holder::may_be_ntpd(&holder.name))
    {
        // The process's own binary can't be recognised, but the installed one or the path of the file may suggest a
        // program.
        let likely = installed(root).or_else(|| by_place(config?));
        holder.program = Some(likely.map_or(Program::Unseen, |found| found.program));
    }
    let readable = |holder: &&Holder| holder.program.as_ref().is_some_and(|found| found.daemon().is_some());
    let chosen = holders.iter().find(readable).or(holders.iter().find(|holder| holder.program.is_some()))?;
    let program = chosen.program.clone()?;
    let differs = |holder: &&Holder| holder.program != chosen.program || holder.arguments != chosen.arguments;
    let others = holders.iter().filter(|holder| holder.pid != chosen.pid).filter(differs);
    let others = others.map(|holder| {
        let what = holder.program.as_ref().map_or_else(|| holder.name.clone(), ToString::to_string);
        format!("process {} ({what})", holder.pid)
    });
    let named =
        program.daemon().and_then(|daemon| CommandLine::parse(&chosen.arguments, daemon.dialect).config);
    let file = chosen.file.as_ref().map_or_else(|| chosen.name.clone(), |file| file.display().to_string());
    let config = named.map(|path| chosen.path(&path)).or_else(|| chosen.built_in.clone());
    Some(Detected {
        because: format!("process {}, {file}", chosen.pid),
        arguments: Some((chosen.arguments.clone(), format!("process {}", chosen.pid))),
        config: config.map(|path| holder::of_its_own(root, chosen.pid, &path).unwrap_or(path)),
        since: chosen.since,
        others: others.collect(),
        program,
    })
}

fn installed(root: &Path) -> Option<Detected> {
    PLACES.iter().find_map(|place| {
        let path = root.join(place.trim_start_matches('/'));
        let program = Program::in_binary(&holder::trusted(&path)?)?;
        // A program of this name that is another daemon, and doesn't run, is no evidence.
        program.daemon()?;
        Some(plain(program, path.display().to_string()))
    })
}

/// NTPsec's packages put the file into a folder with that name.
fn by_place(config: &Path) -> Option<Detected> {
    let ntpsec = config.components().any(|part| part.as_os_str() == "ntpsec");
    ntpsec.then(|| plain(Program::NtpSec, config.display().to_string()))
}

fn plain(program: Program, because: String) -> Detected {
    Detected { program, because, arguments: None, config: None, since: None, others: Vec::new() }
}

/// The daemon as which a detected program reads ntp.conf, and the evidence, marked if it is a guess.
pub fn reading(found: &Detected) -> Option<(Daemon, String)> {
    let daemon = found.program.daemon()?;
    let because = &found.because;
    Some(match &found.program {
        Program::NtpOrg(release) if !found.program.is_known() => {
            let why = format!(
                "a guess: {because} is ntpd {release}, which ntpguard doesn't know; --dialect chooses another reading"
            );
            (daemon, why)
        }
        Program::Unseen => {
            let why = format!("a guess: the release of {because} can't be seen; --dialect says better");
            (daemon, why)
        }
        _ => (daemon, because.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::holder::tests::{contain, process};

    #[test]
    fn the_place_of_the_file() {
        assert_eq!(by_place(Path::new("/etc/ntpsec/ntp.conf")).unwrap().program, Program::NtpSec);
        assert!(by_place(Path::new("/etc/ntp.conf")).is_none());
    }

    #[test]
    fn the_one_that_holds_the_port_and_its_command_line() {
        let root = tempfile::tempdir().unwrap();
        process(root.path(), 70, "chronyd", "/usr/sbin/chronyd", b"chronyd");
        let found = find(root.path(), None).unwrap();
        assert_eq!((found.program.clone(), reading(&found)), (Program::Foreign("chronyd"), None));
        // An ntpd beside it is the one that is guarded, and the other is named.
        process(root.path(), 77, "ntpd", "/usr/sbin/ntpd -t 5 -c ntp.conf 192.0.2.2", b"ntpd 4.2.7p9@1\0");
        let found = find(root.path(), None).unwrap();
        assert_eq!(found.others, ["process 70 (chronyd)"]);
        assert_eq!(found.config.as_deref(), Some(Path::new("/var/lib/ntp.conf")));
        let command = found.command(Dialect::Ntp428);
        assert_eq!((command.servers, command.trusted_keys), (vec!["192.0.2.2".to_owned()], vec![5]));
        let (_, why) = reading(&found).unwrap();
        assert!(why.contains("4.2.7p9, which ntpguard doesn't know"), "{why}");
    }

    #[test]
    fn the_file_is_the_one_that_the_daemon_sees() {
        let root = tempfile::tempdir().unwrap();
        process(root.path(), 77, "ntpd", "/usr/sbin/ntpd -c /etc/ntp.conf", b"ntpd ntpsec-%s\0");
        let config = || find(root.path(), None).unwrap().config.unwrap();
        assert_eq!(config(), Path::new("/etc/ntp.conf"));
        let file = contain(root.path(), 77, "/etc/ntp.conf", "");
        assert_eq!(config(), file);
    }

    #[test]
    fn where_none_runs_what_starts_it_counts() {
        let root = tempfile::tempdir().unwrap();
        assert!(find(root.path(), Some(Path::new("/etc/ntp.conf"))).is_none());
        std::fs::create_dir_all(root.path().join("etc/default")).unwrap();
        std::fs::write(root.path().join("etc/default/ntpsec"), "NTPD_OPTS=\"-g 192.0.2.2\"\n").unwrap();
        let found = find(root.path(), Some(Path::new("/etc/ntpsec/ntp.conf"))).unwrap();
        assert_eq!(found.command(Dialect::NtpSec).servers, ["192.0.2.2"]);
        assert!(found.arguments.unwrap().1.ends_with("etc/default/ntpsec"));
    }
}
