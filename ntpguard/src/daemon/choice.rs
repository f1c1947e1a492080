//! The daemon as which a configuration is read: the one that the user names, or the one that was found.

use crate::daemon::{
    CommandLine,
    detect::{self, Detected},
    dialect::{Daemon, Dialect, Ordering},
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How to read ntp.conf, as far as the user says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Choice {
    /// The daemon that reads the file; otherwise the one that runs or is installed here is assumed.
    pub dialect: Option<Dialect>,
    /// Where ntp.org's ntpd 4.2.8 sorts `ntpport` entries; otherwise as in the release that was found, or the latest.
    pub ordering: Option<Ordering>,
    /// The daemon's own command line, without the program's name; otherwise that of the daemon found.
    #[serde(default)]
    pub daemon_args: Option<String>,
}

impl Choice {
    /// The daemon, and the evidence for it. `config` is the file to be read, if known.
    pub fn daemon(&self, found: Option<&Detected>, config: Option<&Path>) -> (Daemon, String) {
        let guess = |why: String| {
            let ntpsec =
                config.is_some_and(|path| path.components().any(|part| part.as_os_str() == "ntpsec"));
            let dialect = if ntpsec { Dialect::NtpSec } else { Dialect::Ntp428 };
            (Daemon::new(dialect), format!("a guess: {why}; --dialect says better"))
        };
        let (mut daemon, why) = match (self.dialect, found) {
            (Some(dialect), _) => (Daemon::new(dialect), "--dialect".to_owned()),
            (None, Some(found)) => detect::reading(found)
                .unwrap_or_else(|| guess(format!("{} holds UDP port 123, and is no ntpd", found.program))),
            (None, None) => guess("no ntpd runs or is installed here".to_owned()),
        };
        daemon.ordering = self.ordering.unwrap_or(daemon.ordering);
        (daemon, why)
    }

    /// The file that the daemon's command line names. It is read even if it doesn't exist, and the error is reported,
    /// since the daemon doesn't read another one instead either.
    pub fn named_file(&self, found: Option<&Detected>) -> Option<PathBuf> {
        let of_found = || found?.program.daemon();
        let (command, _) = self.command(found, self.dialect.map(Daemon::new).or_else(of_found)?);
        let path = command.config?;
        // A relative path is resolved where the daemon was started, and in its mount namespace: detection has found
        // that place.
        let is_given = self.daemon_args.is_some() && path.is_absolute();
        let found = found.and_then(|found| found.config.clone()).filter(|_| !is_given);
        found.or_else(|| path.is_absolute().then_some(path))
    }

    /// The command line that applies, and its source. That of a daemon with another dialect doesn't apply.
    pub fn command(&self, found: Option<&Detected>, daemon: Daemon) -> (CommandLine, String) {
        let Daemon { dialect, .. } = daemon;
        if let Some(given) = &self.daemon_args {
            return (CommandLine::parse(&CommandLine::split(given), dialect), "--daemon-args".to_owned());
        }
        let same = |found: &&Detected| {
            let is_guess = !found.program.is_known() && found.program.daemon().is_some();
            is_guess || found.program.daemon().is_some_and(|daemon| daemon.dialect == dialect)
        };
        let known = found.filter(same).map(|found| {
            let from = found.arguments.as_ref().map(|(_, from)| from.clone()).unwrap_or_default();
            (found.command(dialect), from)
        });
        known.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::release::Program;

    #[test]
    fn the_command_line_that_counts() {
        let ntpsec = Detected {
            program: Program::NtpSec,
            because: "process 7, /usr/sbin/ntpd".to_owned(),
            arguments: Some((vec!["192.0.2.2".to_owned()], "process 7".to_owned())),
            config: None,
            since: None,
            others: Vec::new(),
        };
        let mut choice = Choice::default();
        let servers =
            |choice: &Choice, dialect| choice.command(Some(&ntpsec), Daemon::new(dialect)).0.servers;
        assert_eq!(servers(&choice, Dialect::NtpSec), ["192.0.2.2"]);
        assert_eq!(servers(&choice, Dialect::Ntp428), [""; 0], "another daemon's");
        choice.daemon_args = Some("-g '192.0.2.3'".to_owned());
        assert_eq!(servers(&choice, Dialect::NtpSec), ["192.0.2.3"]);
    }
}
