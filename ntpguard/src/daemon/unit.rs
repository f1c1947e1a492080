//! The command line that a daemon's service would start it with: the systemd unit with its drop-ins, and the
//! distribution's options file.

use super::CommandLine;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The names that packages give to the services of ntp.org's ntpd and of NTPsec's.
pub(crate) const SERVICES: [&str; 3] = ["ntpsec", "ntp", "ntpd"];
/// Folders of units; the first that has one wins (systemd.unit(5)).
const UNITS: [&str; 5] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];
/// Options files and the variables in them: Debian, RHEL and SUSE.
const OPTIONS: [(&str, &str); 4] = [
    ("etc/default/ntpsec", "NTPD_OPTS"),
    ("etc/default/ntp", "NTPD_OPTS"),
    ("etc/sysconfig/ntpd", "OPTIONS"),
    ("etc/sysconfig/ntp", "NTPD_OPTIONS"),
];

/// A command line, and the file that it was found in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Started {
    /// The command line without the program's name.
    pub(crate) arguments: Vec<String>,
    /// The file.
    pub(crate) from: PathBuf,
}

/// The command line below a root, of the first service that has one.
pub(crate) fn started(root: &Path) -> Option<Started> {
    SERVICES.iter().find_map(|service| of_unit(root, service)).or_else(|| of_options(root))
}

/// `ExecStart=` of a unit, with its variables expanded; if it starts a script, the options file.
fn of_unit(root: &Path, service: &str) -> Option<Started> {
    let folders = || UNITS.iter().map(|folder| root.join(folder));
    let unit =
        folders().map(|folder| folder.join(format!("{service}.service"))).find(|path| path.is_file())?;
    let mut drop_ins: Vec<PathBuf> = folders()
        .flat_map(|folder| {
            fs::read_dir(folder.join(format!("{service}.service.d"))).into_iter().flatten().flatten()
        })
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
        .collect();
    // Ordered by name, whatever the folder; of the same name, the first folder's.
    drop_ins.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    drop_ins.dedup_by(|a, b| a.file_name() == b.file_name());
    let (mut command, mut from, mut files) = (None, unit.clone(), Vec::new());
    let mut environment = Vec::new();
    for path in [unit].into_iter().chain(drop_ins) {
        for line in joined(&fs::read_to_string(&path).unwrap_or_default()).lines() {
            let Some((key, value)) = line.split_once('=') else { continue };
            match (key.trim(), value.trim()) {
                ("ExecStart", "") => command = None,
                ("ExecStart", value) if command.is_none() => {
                    (command, from) = (Some(value.to_owned()), path.clone())
                }
                ("Environment", "") => environment.clear(),
                ("Environment", value) => environment.extend(CommandLine::split(value)),
                ("EnvironmentFile", "") => files.clear(),
                ("EnvironmentFile", value) => files.push(root.join(value.trim_start_matches(['-', '/']))),
                _ => (),
            }
        }
    }
    let words = CommandLine::split(command?.trim_start_matches(['-', '@', ':', '+', '!']));
    let (program, words) = words.split_first()?;
    if !program.rsplit('/').next().is_some_and(|name| name.starts_with("ntpd")) {
        return of_options(root);
    }
    let mut arguments = Vec::new();
    for word in words {
        let Some(name) = word.strip_prefix('$') else {
            arguments.push(word.clone());
            continue;
        };
        // `${NAME}` is one argument, whatever is in it; `$NAME` is split into words (systemd.service(5)).
        let whole = name.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
        let name = whole.unwrap_or(name);
        // A file overrides `Environment=` (systemd.exec(5)).
        let assigned =
            |assignment: &String| Some(assignment.strip_prefix(name)?.strip_prefix('=')?.to_owned());
        let value = files.iter().rev().find_map(|file| variable(file, name));
        let value = value.or_else(|| environment.iter().rev().find_map(assigned));
        match value {
            Some(value) if whole.is_some() => arguments.push(value),
            Some(value) => arguments.extend(CommandLine::split(&value)),
            // An empty argument of the former kind, and none of the latter.
            None => arguments.extend(whole.map(|_| String::new())),
        }
    }
    Some(Started { arguments, from })
}

fn of_options(root: &Path) -> Option<Started> {
    OPTIONS.iter().find_map(|(file, name)| {
        let from = root.join(file);
        let arguments = CommandLine::split(&variable(&from, name)?);
        Some(Started { arguments, from })
    })
}

/// The value of a variable in a shell file, without quotes.
fn variable(file: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let mut values = text.lines().filter_map(|line| {
        let line = line.trim();
        let value = line.strip_prefix("export ").unwrap_or(line).strip_prefix(name)?.strip_prefix('=')?;
        // A comment ends the value, as in the shell.
        Some(
            CommandLine::split(value)
                .into_iter()
                .take_while(|word| !word.starts_with('#'))
                .collect::<Vec<_>>()
                .join(" "),
        )
    });
    values.next_back()
}

/// Joins lines that end with a backslash with the next line.
fn joined(text: &str) -> String {
    text.replace("\\\n", " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Option<(Vec<String>, String)> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let Started { arguments, from } = started(root.path())?;
        Some((arguments, from.strip_prefix(root.path()).unwrap().display().to_string()))
    }

    #[test]
    fn units_and_files_of_options() {
        let red_hat = (
            "usr/lib/systemd/system/ntpd.service",
            "[Service]\nEnvironmentFile=-/etc/sysconfig/ntpd\nExecStart=/usr/sbin/ntpd -u ntp:ntp $OPTIONS\n",
        );
        let debian =
            ("lib/systemd/system/ntpsec.service", "[Service]\nExecStart=/usr/lib/ntp/ntp-systemd-wrapper\n");
        let options = ("etc/sysconfig/ntpd", "# OPTIONS=no\nOPTIONS=\"-g -t 5\"\n");
        for (files, arguments, from) in [
            (&[red_hat, options][..], "-u ntp:ntp -g -t 5", "usr/lib/systemd/system/ntpd.service"),
            (&[red_hat], "-u ntp:ntp", "usr/lib/systemd/system/ntpd.service"),
            (
                &[
                    red_hat,
                    (
                        "etc/systemd/system/ntpd.service.d/own.conf",
                        "[Service]\nEnvironment=\"OPTIONS=-c /etc/ntp/public.conf 192.0.2.2\" OTHER=x\n",
                    ),
                ],
                "-u ntp:ntp -c /etc/ntp/public.conf 192.0.2.2",
                "usr/lib/systemd/system/ntpd.service",
            ),
            (&[debian, ("etc/default/ntpsec", "NTPD_OPTS=\"-g -N\" # x\n")], "-g -N", "etc/default/ntpsec"),
            (&[("etc/default/ntp", "NTPD_OPTS='-g'\n")], "-g", "etc/default/ntp"),
            (
                &[
                    red_hat,
                    options,
                    (
                        "etc/systemd/system/ntpd.service.d/own.conf",
                        "[Service]\nExecStart=\nExecStart=!/usr/sbin/ntpd -g \\\n  192.0.2.2\n",
                    ),
                ],
                "-g 192.0.2.2",
                "etc/systemd/system/ntpd.service.d/own.conf",
            ),
            (
                &[
                    red_hat,
                    options,
                    ("etc/systemd/system/ntpd.service", "[Service]\nExecStart=/usr/sbin/ntpd -A\n"),
                ],
                "-A",
                "etc/systemd/system/ntpd.service",
            ),
        ] {
            let (words, file) = found(files).unwrap_or_else(|| panic!("{files:?}"));
            assert_eq!((words.join(" ").as_str(), file.as_str()), (arguments, from));
        }
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[debian]), None);
    }

    /// systemd.service(5), "Command lines".
    #[test]
    fn a_variable_in_braces_is_one_argument() {
        let unit = "[Service]\nEnvironment=\"OPTIONS=-t 5\"\nExecStart=/usr/sbin/ntpd ";
        let words = |rest: &str| {
            let unit = format!("{unit}{rest}\n");
            found(&[("etc/systemd/system/ntpd.service", &unit)]).unwrap().0
        };
        assert_eq!(words("-g $OPTIONS"), ["-g", "-t", "5"]);
        assert_eq!(words("-g ${OPTIONS}"), ["-g", "-t 5"]);
        assert_eq!(words("-g $NONE"), ["-g"]);
        assert_eq!(words("-g ${NONE}"), ["-g", ""]);
    }
}
