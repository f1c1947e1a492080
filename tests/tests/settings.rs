//! The example of a settings file, which is generated from the options themselves:
//! `NTPGUARD_UPDATE=1 cargo test -p ntpguard-tests --test settings` writes it anew.

use clap::{Arg, ArgAction, CommandFactory as _, Parser as _};
use ntpguard::cli::{
    Cli,
    settings_file::{arguments, options},
};
use std::{collections::HashSet, env, ffi::OsString, fs, path::PathBuf};

const HEAD: &str = "\
# ntpguard's settings: options of `ntpguard run` and `ntpguard attach` that need not be said each time. Here are all
# of them, as they are if nobody says otherwise, or with an example where that is another for each host. Install this as
# /etc/ntpguard/ntpguard.toml, and take away the # before what you want to set. What the command line says wins;
# `--settings /dev/null` is the way to do without this file. Read at the start: after a change, restart ntpguard.
#
# Other verbs (status, reload, detach …) take pin-path and state-dir from here, and nothing else.
";

/// Example values of options without a default.
const EXAMPLES: [(&str, &str); 9] = [
    ("interface", "[\"eth0\"]"),
    ("config", "\"/etc/ntpsec/ntp.conf\""),
    ("dialect", "\"ntpsec\""),
    ("ordering", "\"p18\""),
    ("daemon-args", "\"-g -t 5 192.0.2.2\""),
    ("aggregate", "[\"24\", \"56\"]"),
    ("max-rate", "50000"),
    ("group", "\"ntpguard\""),
    ("metrics", "\"127.0.0.1:9123\""),
];

/// The value of an option in the example.
fn value(option: &Arg) -> String {
    let long = option.get_long().unwrap();
    let quoted = |value: &OsString| {
        let value = value.to_str().unwrap();
        value.parse::<u64>().map_or_else(|_| format!("{value:?}"), |number| number.to_string())
    };
    let defaults: Vec<_> = option.get_default_values().iter().map(|value| quoted(&value.into())).collect();
    let example = EXAMPLES.iter().find(|(of, _)| *of == long).map(|(_, value)| (*value).to_owned());
    match option.get_action() {
        ArgAction::SetTrue => "false".to_owned(),
        _ if defaults.is_empty() => example.unwrap_or_else(|| panic!("an example for {long}, please")),
        ArgAction::Append => format!("[{}]", defaults.join(", ")),
        _ => defaults.concat(),
    }
}

/// Comment lines, wrapped.
fn comment(text: &str) -> String {
    let mut lines = vec!["#".to_owned()];
    for word in text.split_whitespace() {
        if lines.last().is_some_and(|line| line.chars().count() + word.chars().count() > 110) {
            lines.push("#".to_owned());
        }
        let line = lines.last_mut().unwrap();
        *line += " ";
        *line += word;
    }
    lines.join("\n") + "\n"
}

fn example() -> String {
    let cli = Cli::command();
    let verbs = ["run", "attach"].map(|verb| cli.find_subcommand(verb).unwrap());
    let mut seen = HashSet::new();
    let all = verbs.into_iter().flat_map(options).filter(|option| seen.insert(option.get_long()));
    let one = |option: &Arg| {
        let long = option.get_long().unwrap();
        let help = option.get_long_help().or(option.get_help());
        let mut help = help
            .unwrap_or_else(|| panic!("--{long} has no help"))
            .to_string()
            .replace("\n\n", ". ")
            .replace("..", ".");
        if !help.ends_with('.') {
            help.push('.');
        }
        let possible: Vec<_> = match option.get_action() {
            ArgAction::SetTrue => Vec::new(),
            _ => option.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect(),
        };
        if !possible.is_empty() {
            help += &format!(" One of: {}.", possible.join(", "));
        }
        format!("\n{}#{long} = {}\n", comment(&help), value(option))
    };
    HEAD.to_owned() + &all.map(one).collect::<String>()
}

fn file() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "dist", "ntpguard.toml"].iter().collect()
}

#[test]
fn the_example_has_every_option_with_its_help_and_default() {
    let (example, file) = (example(), file());
    if env::var_os("NTPGUARD_UPDATE").is_some() {
        fs::write(&file, &example).unwrap();
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == example,
        "dist/ntpguard.toml isn't what the options are now; NTPGUARD_UPDATE=1 and this test write it anew"
    );
}

#[test]
fn with_every_comment_taken_away_it_parses() {
    let text = example();
    let is_setting = |line: &&str| line.starts_with(|c: char| c.is_ascii_lowercase());
    let settings: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix('#')).filter(is_setting).collect();
    assert!(settings.len() > 20, "{settings:?}");
    let all = tempfile::NamedTempFile::new().unwrap();
    fs::write(all.path(), settings.join("\n")).unwrap();
    for verb in ["run", "attach"] {
        let given = ["ntpguard", verb, "--settings", all.path().to_str().unwrap()].map(OsString::from);
        let line = arguments(given.to_vec()).unwrap_or_else(|fault| panic!("{fault}"));
        assert!(line.all.len() > 15, "{:?}", line.all);
        Cli::try_parse_from(line.all).unwrap_or_else(|error| panic!("{verb}: {error}"));
    }
}
