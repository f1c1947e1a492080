//! The settings file: options of `run` and `attach` that needn't be typed each time.
//!
//! Contract: a key is an option's long name, and its value is what the option takes; clap's own table of options is the
//! only one. Options on the command line override the file. Other verbs take only the filter's places from it.

use crate::{
    cli::{
        Cli,
        low::{PLAIN, Places},
        verb::Verb,
    },
    conf::ntp::is_one_edit,
    guard::options::Guarding,
    host::{
        self,
        fault::{Blame as _, Fault},
    },
};
use anyhow::{Context as _, Result, anyhow, bail};
use clap::{
    Arg, ArgAction, ArgMatches, Args as _, Command, CommandFactory as _, Parser as _, error::ErrorKind,
    parser::ValueSource,
};
use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// The path, if the command line doesn't name one.
const FILE: &str = "/etc/ntpguard/ntpguard.toml";
/// The option that names another path.
const SETTINGS: &str = "settings";
/// Maximum size of the file in bytes: many times what all settings take.
const MOST: u64 = 1 << 20;

/// A command line, completed by the settings file.
pub struct Arguments {
    /// The arguments, including those that the file has added.
    pub all: Vec<OsString>,
    /// The file, if it has added any.
    pub added_by: Option<PathBuf>,
}

/// Adds the options of the settings file to those given on the command line.
///
/// # Errors
/// The file can't be read or is invalid; the error names the file and the line.
pub fn arguments(given: Vec<OsString>) -> Result<Arguments, Fault> {
    add(given).configuration()
}

/// The options of `attach` as the settings file alone gives them, and the file's path if it gives any.
///
/// # Errors
/// The same as those of [`arguments`].
pub fn guarding(settings: Option<&Path>) -> Result<(Guarding, Option<PathBuf>), Fault> {
    let mut line: Vec<OsString> = vec!["ntpguard".into(), "attach".into()];
    if let Some(path) = settings {
        line.extend([format!("--{SETTINGS}").into(), path.into()]);
    }
    let Arguments { all, added_by } = arguments(line)?;
    let verb = Cli::try_parse_from(all).and_then(Cli::verb);
    let verb = verb.map_err(|error| anyhow!("{}", error.to_string().trim_end())).configuration()?;
    let Verb::Attach(attach) = verb else { unreachable!("`attach` was said") };
    Ok((attach.guarding, added_by))
}

fn add(given: Vec<OsString>) -> Result<Arguments> {
    let none = |given| Ok(Arguments { all: given, added_by: None });
    let mut cli = Cli::command();
    cli.build();
    // Errors of the command line are reported later, when it is parsed for use.
    let Ok(matches) = cli.clone().ignore_errors(true).try_get_matches_from(&given) else {
        return none(given);
    };
    let Some((verb, matches)) = matches.subcommand() else { return none(given) };
    let Some(command) = cli.find_subcommand(verb) else { return none(given) };
    if !command.get_arguments().any(|option| option.get_id() == SETTINGS) {
        return none(given);
    }
    let path = match matches.get_one::<PathBuf>(SETTINGS) {
        Some(path) => path.clone(),
        None if Path::new(FILE).exists() => FILE.into(),
        None => return none(given),
    };
    let text = read(&path).with_context(|| format!("can't read {}", path.display()))?;
    let added = Settings { path: &path, text: &text, cli: &cli }.added_to(command, matches)?;
    let added_by = (!added.is_empty()).then_some(path);
    Ok(Arguments { all: given.into_iter().chain(added).collect(), added_by })
}

/// The text of the settings file.
fn read(path: &Path) -> io::Result<String> {
    // `--settings /dev/null` means no settings.
    if path == Path::new("/dev/null") {
        return Ok(String::new());
    }
    String::from_utf8(host::file::read(path, MOST)?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// A settings file, and the command line whose options it may set.
struct Settings<'a> {
    path: &'a Path,
    text: &'a str,
    cli: &'a Command,
}

impl Settings<'_> {
    /// The arguments that the file adds for a verb, given those on the command line.
    fn added_to(&self, verb: &Command, given: &ArgMatches) -> Result<Vec<OsString>> {
        let Self { path, text, cli } = self;
        let table = DeTable::parse(text).map_err(|error| {
            let line = error.span().map(|span| self.line(span.start)).unwrap_or(1);
            anyhow!("{}:{line}: {}", path.display(), error.message())
        })?;
        let guards = ["run", "attach"].map(|verb| cli.find_subcommand(verb).expect("a verb"));
        let places = Places::augment_args(Command::new(""));
        let takes = |key: &str| {
            guards.iter().any(|guard| guard.get_name() == verb.get_name()) || find(&places, key).is_some()
        };
        let mut entries: Vec<_> = table.get_ref().iter().collect();
        // In the order of the file.
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut added = Vec::new();
        for (key, value) in entries {
            let place = || format!("{}:{}", path.display(), self.line(key.span().start));
            let key = key.get_ref().as_ref();
            if guards.iter().all(|guard| find(guard, key).is_none()) {
                bail!("{}: there is no setting `{key}`{}", place(), guess(&guards, key));
            }
            let Some(option) = find(verb, key).filter(|_| takes(key)) else { continue };
            let values = values(option, value).with_context(place)?;
            for value in &values {
                self.check(verb, value).with_context(|| format!("{}: {key}", place()))?;
            }
            if !is_overruled(verb, option, given) {
                added.extend(values.into_iter().map(OsString::from));
            }
        }
        Ok(added)
    }

    /// Checks an option by itself; conflicts with other options are found when all are parsed together.
    fn check(&self, verb: &Command, argument: &str) -> Result<()> {
        let alone = self.cli.clone().try_get_matches_from(["ntpguard", verb.get_name(), argument]);
        let Err(error) = alone else { return Ok(()) };
        if matches!(error.kind(), ErrorKind::MissingRequiredArgument | ErrorKind::ArgumentConflict) {
            return Ok(());
        }
        let words = error.to_string();
        let words = words.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
        bail!("{}", words.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// The number of the line that contains a byte, counted from 1.
    fn line(&self, byte: usize) -> usize {
        self.text.bytes().take(byte).filter(|byte| *byte == b'\n').count() + 1
    }
}

/// The options of a verb that a settings file may have: all except `--settings` and those that end the program, such as
/// `--help`. The positional argument isn't an option.
pub fn options(verb: &Command) -> impl Iterator<Item = &Arg> {
    verb.get_arguments().filter(|option| {
        let acts = matches!(option.get_action(), ArgAction::Set | ArgAction::Append | ArgAction::SetTrue);
        acts && option.get_long().is_some() && option.get_id() != SETTINGS
    })
}

/// The option whose long name is this key.
fn find<'a>(verb: &'a Command, key: &str) -> Option<&'a Arg> {
    options(verb).find(|option| option.get_long() == Some(key))
}

/// Suggests a setting whose name is similar.
fn guess(guards: &[&Command], key: &str) -> String {
    let known = guards.iter().flat_map(|guard| options(guard)).filter_map(Arg::get_long);
    let near = { known }.find(|known| is_one_edit(known, key) || *known == key.replace('_', "-"));
    near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

/// Whether the command line has the option, or one that excludes it.
fn is_overruled(verb: &Command, option: &Arg, given: &ArgMatches) -> bool {
    let is_given =
        |option: &Arg| given.value_source(option.get_id().as_str()) == Some(ValueSource::CommandLine);
    let is_same = |other: &Arg| {
        // Interfaces may be given as positional arguments as well as by the option.
        other.get_id() == option.get_id() || other.get_id() == PLAIN && option.get_id() == "interface"
    };
    let excludes = |one: &Arg, other: &Arg| verb.get_arg_conflicts_with(one).contains(&other);
    verb.get_arguments()
        .filter(|other| is_given(other))
        .any(|other| is_same(other) || excludes(other, option) || excludes(option, other))
}

/// The option as it would be typed on the command line.
fn values(option: &Arg, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>> {
    let long = option.get_long().unwrap_or_default();
    let is_switch = matches!(option.get_action(), ArgAction::SetTrue);
    let repeats = matches!(option.get_action(), ArgAction::Append);
    let one = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Ok(format!("--{long}={text}")),
        DeValue::Integer(number) => Ok(format!("--{long}={number}")),
        other => bail!("{long} wants a string or a number, not {}", other.type_str()),
    };
    match value.get_ref() {
        DeValue::Boolean(on) if is_switch => Ok(on.then(|| format!("--{long}")).into_iter().collect()),
        other if is_switch => bail!("{long} is true or false, not {}", other.type_str()),
        DeValue::Array(all) if repeats => all.iter().map(|value| one(value.get_ref())).collect(),
        other => Ok(vec![one(other)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::Duration;

    /// The arguments that a settings file adds to a command line, or the error.
    fn with(settings: &str, line: &str) -> Result<Vec<String>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), settings).unwrap();
        let line = format!("ntpguard {line} --settings {}", file.path().display());
        let given: Vec<_> = line.split(' ').map(OsString::from).collect();
        let count = given.len();
        let all = arguments(given)
            .map_err(|fault| fault.to_string().replace(file.path().to_str().unwrap(), "FILE"))?;
        let added = all.all.into_iter().skip(count);
        Ok(added.map(|argument| argument.into_string().unwrap()).collect())
    }

    #[test]
    fn options_come_from_the_file_and_the_command_line_wins() {
        let file = "interface = [\"eth0\", \"eth1\"]\ninterval = '5m'\nmonitor = true\nyes = false\nsources = 1_000\n";
        let interfaces = ["--interface=eth0", "--interface=eth1"];
        let rest = ["--interval=5m", "--monitor", "--sources=1000"];
        assert_eq!(with(file, "run").unwrap(), [&interfaces[..], &rest].concat());
        for named in ["run --interface eth2", "run -i eth2", "run eth2", "run eth2 -i eth3"] {
            assert_eq!(with(file, named).unwrap(), rest, "{named}");
        }
        assert_eq!(with(file, "attach --sources 1").unwrap(), [&interfaces[..], &["--monitor"]].concat());
        // The interfaces of the file aren't those of `detach --interface`.
        assert_eq!(with("interface = 'eth0'\npin-path = '/a'", "detach --all").unwrap(), ["--pin-path=/a"]);
        assert_eq!(with("queries = 'restrict'", "run --no-hardening").unwrap(), [""; 0]);
        assert_eq!(with("no-hardening = true", "run --harden sources").unwrap(), [""; 0]);
    }

    #[test]
    fn what_is_wrong_is_said_with_file_and_line() {
        for (file, words) in [
            ("\ninterfce = 'eth0'", "FILE:2: there is no setting `interfce`; did you mean `interface`?"),
            ("state_dir = '/a'", "FILE:1: there is no setting `state_dir`; did you mean `state-dir`?"),
            ("[run]\nyes = true", "FILE:1: there is no setting `run`"),
            ("help = true", "FILE:1: there is no setting `help`"),
            ("settings = '/a'", "FILE:1: there is no setting `settings`"),
            (
                "yes = true\nxdp-mode = 'fast'",
                "FILE:2: xdp-mode: invalid value 'fast' for '--xdp-mode <MODE>' [possible values: auto, native, generic]",
            ),
            ("monitor = 'yes'", "FILE:1: monitor is true or false, not string"),
            ("interval = ['1s']", "FILE:1: interval wants a string or a number, not array"),
            ("yes = true\nyes = false", "FILE:2: duplicate key"),
            ("interface = eth0", "FILE:1: "),
        ] {
            let said = with(file, "run").unwrap_err();
            assert!(said.starts_with(words), "{file}: {said}");
        }
    }

    #[test]
    fn what_comes_of_it_is_a_command_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "interface = 'eth0'\nnames-interval = '1m'").unwrap();
        let given = ["ntpguard", "run", "--settings", file.path().to_str().unwrap()].map(OsString::from);
        let cli = Cli::parse_from(arguments(given.to_vec()).unwrap().all);
        let crate::cli::Verb::Run(run) = cli.verb().unwrap() else { panic!("another verb") };
        assert_eq!(run.guarding.interface, ["eth0"]);
        assert_eq!(run.guarding.names_interval, Duration::from_secs(60));
    }

    #[test]
    fn a_guard_of_which_nothing_else_is_said() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "no-hardening = true\nephemeral = true").unwrap();
        let (options, from) = guarding(Some(file.path())).unwrap();
        assert!(options.hardened.harden.is_empty() && options.interface.is_empty());
        assert_eq!(from.as_deref(), Some(file.path()));
        assert_eq!(guarding(Some(Path::new("/dev/null"))).unwrap().1, None);
        fs::write(file.path(), "hook = 'tc'\nreplace = true").unwrap();
        let said = guarding(Some(file.path())).unwrap_err().to_string();
        assert!(said.contains("nothing to --replace"), "{said}");
    }
}
