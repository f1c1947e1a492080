//! The reference pages of the book contain the tables that drive the program, below the mark [`MARK`].
//! `NTPGUARD_UPDATE=1 cargo test -p ntpguard-tests --test reference` writes them anew.

use clap::{Arg, ArgAction, Command, CommandFactory as _};
use ntpguard::{
    cli::Cli,
    conf::diagnostic,
    doctor,
    host::{driver, fault::Fault},
    metrics,
};
use ntpguard_common::{Action, Reason};
use ntpguard_tests::{
    frame::{Frame, payload},
    guard::command,
    home::Home,
    netns::Lab,
};
use serde_json::Value;
use std::{env, fs, path::Path};

/// The mark; everything below it is generated.
const MARK: &str = "<!-- generated: NTPGUARD_UPDATE=1 cargo test -p ntpguard-tests --test reference -->\n\n";

/// Checks that a page has this table below its mark, or writes it.
fn has(page: &str, table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/reference").join(page);
    let written = fs::read_to_string(&path).unwrap();
    let (head, below) = written.split_once(MARK).unwrap_or_else(|| panic!("{page} has no mark: {MARK}"));
    if env::var_os("NTPGUARD_UPDATE").is_some() {
        fs::write(&path, format!("{head}{MARK}{table}")).unwrap();
    } else {
        let differs = below.lines().zip(table.lines()).find(|(old, new)| old != new);
        assert!(
            below == table,
            "docs/src/reference/{page} is out of date, see the head of this test; {differs:?}"
        );
    }
}

/// Text for a cell of a table, outside of code.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|").replace('<', "&lt;")
}

#[test]
fn verbs_and_options() {
    let mut cli = Cli::command();
    cli.build();
    let verbs = cli.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help");
    has("commands.md", &verbs.map(verb).collect::<Vec<_>>().join("\n"));
}

/// The section about a verb, with its options under the headings that `--help` has.
fn verb(verb: &Command) -> String {
    let about = verb.get_long_about().or(verb.get_about()).expect("a verb has a description").to_string();
    let usage = verb.clone().render_usage().to_string();
    let usage = usage.trim().trim_start_matches("Usage: ");
    let mut text = format!(
        "## `ntpguard {}`\n\n{}.\n\n```text\n{usage}\n```\n",
        verb.get_name(),
        about.trim_end_matches('.')
    );
    let shown = || verb.get_arguments().filter(|option| !option.is_hide_set() && !is_help(option));
    let mut headings: Vec<Option<&str>> = Vec::new();
    for heading in shown().map(Arg::get_help_heading) {
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    for heading in headings {
        if let Some(heading) = heading {
            text += &format!("\n{heading}:\n");
        }
        text += "\n| option | meaning |\n|---|---|\n";
        text.extend(shown().filter(|option| option.get_help_heading() == heading).map(row));
    }
    text
}

fn is_help(option: &Arg) -> bool {
    matches!(
        option.get_action(),
        ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
    )
}

fn row(option: &Arg) -> String {
    let takes_values = option.get_action().takes_values();
    let value = match option.get_value_names() {
        Some(names) if takes_values => {
            let names = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            let optional = option.get_num_args().is_some_and(|number| number.min_values() == 0);
            if optional { format!(" [{names}]") } else { format!(" {names}") }
        }
        _ => String::new(),
    };
    let short = option.get_short().map(|short| format!("-{short}"));
    let long = option.get_long().map(|long| format!("--{long}"));
    let mut names: Vec<_> = short.into_iter().chain(long).collect();
    if names.is_empty() {
        names.push(String::new());
    }
    let names: Vec<_> = names.iter().map(|name| format!("`{}`", format!("{name}{value}").trim())).collect();

    let help = option.get_long_help().or(option.get_help()).expect("an option has a description").to_string();
    let mut help = cell(&help);
    if !help.ends_with('.') {
        help.push('.');
    }
    if takes_values {
        let values = option.get_possible_values();
        let values: Vec<_> = values
            .iter()
            .map(|value| match value.get_help() {
                Some(help) => {
                    format!("`{}` ({})", value.get_name(), cell(&help.to_string()).trim_end_matches('.'))
                }
                None => format!("`{}`", value.get_name()),
            })
            .collect();
        if !values.is_empty() {
            help += &format!(" One of: {}.", values.join("; "));
        }
        let defaults: Vec<_> =
            option.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        if !defaults.is_empty() {
            help += &format!(" Default: `{}`.", defaults.join(","));
        }
    }
    format!("| {} | {help} |\n", names.join(", "))
}

#[test]
fn reasons() {
    let table = |title: &str, action: Action| {
        let rows = Reason::ALL.iter().filter(|reason| reason.action() == action);
        let row = |reason: &Reason| {
            format!("| `{}` | {} | {} |\n", reason.name(), cell(reason.summary()), cell(reason.brief()))
        };
        let rows: String = rows.map(row).collect();
        format!("## {title}\n\n| reason | meaning | in `top` |\n|---|---|---|\n{rows}")
    };
    let tables = [("Dropped", Action::Drop), ("Answered", Action::Transmit), ("Passed", Action::Pass)];
    has("reasons.md", &tables.map(|(title, action)| table(title, action)).join("\n"));
}

#[test]
fn exit_codes() {
    let rows = Fault::EXIT_CODES.map(|(code, meaning)| format!("| {code} | {} |\n", cell(meaning)));
    has("exit-codes.md", &format!("| code | meaning |\n|---|---|\n{}", rows.concat()));
}

#[test]
fn diagnostics() {
    has("diagnostics.md", &diagnostic::table());
}

#[test]
fn checks() {
    has("doctor.md", &doctor::table());
}

#[test]
fn families() {
    has("metrics.md", &metrics::table());
}

#[test]
fn drivers() {
    has("drivers.md", &driver::page());
}

/// All fields that a verb writes are described in its section of the page on JSON.
#[test]
fn every_field_is_documented() {
    let lab = Lab::new().unwrap();
    let conf = "restrict default limited kod noquery\nrestrict 198.51.100.0/24 ignore\n\
                restrict source noquery\nserver 192.0.2.9\n";
    let home = Home::new(&lab.server, conf).unwrap();
    let capture = home.path().join("drops.pcap");
    fs::write(&capture, pcap(&Frame::from("198.51.100.7", 40000).payload(&payload::time(3, 4)).build()))
        .unwrap();
    let (conf, capture) = (home.conf().display().to_string(), capture.display().to_string());
    let alone = |line: &str| {
        let output =
            command(&lab.server, &line.split_whitespace().collect::<Vec<_>>()).unwrap().output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{line}: {error}: {output:?}"))
    };
    let file = format!("--config {conf} --dialect ntpsec --format json");
    let mut guard = home.guarding().unwrap();
    let written = [
        ("run", vec![guard.attached.clone(), guard.line().unwrap()]),
        ("status", vec![home.status().unwrap()]),
        ("check", vec![alone(&format!("check {conf} --dialect ntpsec --format json"))]),
        ("explain", vec![alone(&format!("explain --source 198.51.100.7 --mode 3 {file}"))]),
        ("replay", vec![alone(&format!("replay {capture} {file}"))]),
    ];
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/reference/json.md"))
            .unwrap();
    let mut missing = Vec::new();
    for (verb, objects) in written {
        let (_, section) = page.split_once(&format!("\n## `{verb}`\n")).unwrap();
        // The text about counters applies to all verbs.
        let section = [page.split("\n## ").next().unwrap(), section.split("\n## ").next().unwrap()].concat();
        for object in &objects {
            fields(object, &mut |name| {
                let is_reason = Reason::ALL.iter().any(|reason| reason.name() == name);
                if !is_reason && !section.contains(&format!("`{name}`")) {
                    missing.push(format!("{verb}: {name}"));
                }
            });
        }
    }
    assert_eq!(missing, [""; 0]);
}

fn fields(value: &Value, named: &mut dyn FnMut(&str)) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| fields(value, named)),
        Value::Object(all) => all.iter().for_each(|(name, value)| {
            named(name);
            fields(value, named);
        }),
        _ => (),
    }
}

/// A capture with one frame.
fn pcap(frame: &[u8]) -> Vec<u8> {
    let length = frame.len() as u32;
    let words = [0xa1b2_c3d4, 2 | 4 << 16, 0, 0, 65535, 1, 0, 0, length, length];
    words.iter().flat_map(|word: &u32| word.to_le_bytes()).chain(frame.iter().copied()).collect()
}
