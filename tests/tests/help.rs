//! The help texts: they fit into a terminal of 80 columns, and a short option has only one meaning.

use clap::{Arg, Command, CommandFactory as _};
use ntpguard::cli::Cli;
use std::collections::BTreeMap;

/// Maximum width of a line, and maximum number of lines, so that a text fits on a screen.
const COLUMNS: usize = 80;
const LINES: usize = 45;

/// A verb with at least this many options has them under headings.
const MANY: usize = 10;

/// All verbs that users type, with their full names.
fn verbs() -> Vec<(String, Command)> {
    let mut cli = Cli::command();
    cli.build();
    let verbs =
        cli.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help").cloned();
    let verbs: Vec<_> = verbs.map(|verb| (format!("ntpguard {}", verb.get_name()), verb)).collect();
    assert!(verbs.len() > 10);
    [vec![("ntpguard".to_owned(), cli)], verbs].concat()
}

/// The options of a verb, without --help and --version.
fn options(verb: &Command) -> impl Iterator<Item = &Arg> {
    verb.get_arguments().filter(|option| !matches!(option.get_id().as_str(), "help" | "version"))
}

#[test]
fn every_line_fits_the_screen_and_the_short_help_does_whole() {
    let mut wrong = Vec::new();
    for (name, mut verb) in verbs() {
        let (short, long) = (verb.render_help().to_string(), verb.render_long_help().to_string());
        for (kind, text) in [("-h", &short), ("--help", &long)] {
            let wide = text.lines().filter(|line| line.chars().count() > COLUMNS);
            wrong.extend(wide.map(|line| format!("{name} {kind}: {line}")));
        }
        let lines = short.lines().count();
        if lines > LINES {
            wrong.push(format!("{name} -h: {lines} lines\n{short}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_long_help_has_what_the_short_one_leaves_out() {
    for (name, mut verb) in verbs() {
        let long = verb.render_long_help().to_string();
        for option in options(&verb).filter_map(Arg::get_long) {
            assert!(long.contains(&format!("--{option}")), "{name}: {option}");
        }
    }
}

#[test]
fn where_there_are_many_options_each_has_a_heading() {
    let mut checked = 0;
    for (name, verb) in verbs().into_iter().filter(|(_, verb)| options(verb).count() >= MANY) {
        // Positional arguments come first, under a heading of their own.
        for option in options(&verb).filter(|option| !option.is_positional()) {
            assert!(option.get_help_heading().is_some(), "{name}: {}", option.get_id());
        }
        checked += 1;
    }
    assert!(checked >= 4, "run, attach, explain and others have many: {checked}");
}

#[test]
fn a_letter_means_the_same_option_in_every_verb() {
    let mut meanings: BTreeMap<char, Vec<(String, String)>> = BTreeMap::new();
    for (name, verb) in verbs() {
        for option in options(&verb) {
            let letters = option.get_short_and_visible_aliases().unwrap_or_default();
            let long = option.get_long().unwrap_or_default();
            for letter in letters {
                // The count of packets as in tcpdump, as the help text says.
                if (name.as_str(), letter) != ("ntpguard capture", 'c') {
                    meanings.entry(letter).or_default().push((name.clone(), long.to_owned()));
                }
            }
        }
    }
    for (letter, uses) in &meanings {
        assert!(uses.windows(2).all(|pair| pair[0].1 == pair[1].1), "-{letter}: {uses:?}");
    }
    let long = |letter: char| meanings[&letter].first().map(|(_, long)| long.as_str());
    assert_eq!((long('i'), long('c')), (Some("interface"), Some("config")));
    let documented =
        verbs().into_iter().find(|(name, _)| name == "ntpguard capture").unwrap().1.render_long_help();
    assert!(documented.to_string().contains("-c is tcpdump's here"), "{documented}");
}

#[test]
fn wherever_there_is_the_long_option_there_is_its_letter() {
    for (name, verb) in verbs() {
        for option in options(&verb) {
            let letter = match option.get_long() {
                Some("interface") => 'i',
                Some("config") => 'c',
                _ => continue,
            };
            assert_eq!(option.get_short(), Some(letter), "{name}");
        }
        let takes = |id: &str| options(&verb).any(|option| option.get_id() == id);
        assert_eq!(takes("interface"), takes("plain"), "{name}: interfaces are plain arguments, too");
    }
}
