//! The parts of the daemon's command line that are configuration: servers, keys, authentication, families, the file.
//!
//! Contract: any words are accepted. Both daemons stop parsing at the first word that isn't an option, and take it and
//! all that follow as servers (ntp.org's cmd_args.c:getCmdOpts by AutoOpts; NTPsec's ntpd.c:parse_cmdline_opts by its
//! own getopt). An unknown option stops the daemon, so what follows one doesn't matter.

use crate::daemon::{dialect::Dialect, family::Family};
use std::{fmt, path::PathBuf};

/// The mark at the end of a word whose rest can't be seen. No name, number or path on a daemon's command line ends with
/// it.
pub const CUT: &str = "\u{2026}";

/// Short options that take a value, in any daemon: the rest of their word, or the next word.
const WITH_VALUE: &str = "cDfiIklpPrstuUw";

/// A long option: its name, the equivalent short option (`\0` for none), and whether a value follows.
type Long = (&'static str, char, bool);

/// The long options of all daemons.
const LONG: &[Long] = &[
    ("ipv4", '4', false),
    ("ipv6", '6', false),
    ("configfile", 'c', true),
    ("set-debug-level", 'D', true),
    ("help", '\0', false),
    ("interface", 'I', true),
    ("jaildir", 'i', true),
    ("keyfile", 'k', true),
    ("logfile", 'l', true),
    ("mdns", 'm', false),
    ("nice", 'N', false),
    ("nofork", 'n', false),
    ("novirtualips", 'L', false),
    ("panicgate", 'g', false),
    ("pidfile", 'p', true),
    ("priority", 'P', true),
    ("quit", 'q', false),
    ("slew", 'x', false),
    ("statsdir", 's', true),
    ("trustedkey", 't', true),
    ("updateinterval", 'U', true),
    ("user", 'u', true),
    ("var", '\0', true),
    ("dvar", '\0', true),
    ("version", '\0', false),
];

/// The long options of ntp.org's ntpd alone (ntpdbase-opts.def).
const LONG_ORG: &[Long] = &[
    ("authreq", 'a', false),
    ("authnoreq", 'A', false),
    ("bcastsync", 'b', false),
    ("debug-level", 'd', false),
    ("driftfile", 'f', true),
    ("force_step_once", 'G', false),
    ("load-opts", '\0', true),
    ("modifymmtimer", 'M', false),
    ("more-help", '\0', false),
    ("pccfreq", '\0', true),
    ("propagationdelay", 'r', true),
    ("saveconfigquit", '\0', true),
    ("usepcc", '\0', false),
    ("wait-sync", 'w', true),
];

/// The long options of NTPsec's ntpd alone, one of them misspelled (ntpd.c:longoptions).
const LONG_SEC: &[Long] =
    &[("assert", 'a', false), ("debug", 'd', false), ("driftile", 'f', true), ("dumpopts", 'R', false)];

/// The configuration in a command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// The servers that it names, as written.
    pub servers: Vec<String>,
    /// The keys that it trusts (`-t`).
    pub trusted_keys: Vec<u32>,
    /// The key file (`-k`).
    pub keys: Option<PathBuf>,
    /// Whether authentication is required: ntp.org's `-a` and `-A`. ntp.conf overrides it.
    pub auth: Option<bool>,
    /// The only address family in use (`-4`, `-6`).
    pub family: Option<Family>,
    /// The interfaces or addresses that it listens on (`-I`). They are no reason to drop: the daemon doesn't answer
    /// what arrives on others, and the policy depends on the source alone.
    pub interfaces: Vec<String>,
    /// Whether it ignores virtual interfaces (`-L`).
    pub no_virtual: bool,
    /// Whether it accepts broadcasts (ntp.org's `-b`).
    pub broadcasts: bool,
    /// The configuration file (`-c`), as written.
    pub config: Option<PathBuf>,
    /// Whether the end is missing: it stops within a word, or before the value of an option.
    pub is_cut: bool,
}

impl CommandLine {
    /// Reads the words after the program's name.
    pub fn parse<W: AsRef<str>>(words: &[W], dialect: Dialect) -> Self {
        let whole = words.iter().map(AsRef::as_ref).take_while(|word| !word.ends_with(CUT));
        let mut found = Self { is_cut: whole.clone().count() < words.len(), ..Self::default() };
        let mut words = whole;
        while let Some(word) = words.next() {
            if let Some(long) = word.strip_prefix("--").filter(|long| !long.is_empty()) {
                let (name, value) =
                    long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
                let Some((_, letter, takes)) = known(name, dialect) else { continue };
                let value = if takes { value.or_else(|| words.next()) } else { None };
                found.is_cut |= takes && value.is_none();
                found.option(letter, value, dialect);
            } else if word == "--" {
                found.servers.extend(words.by_ref().map(str::to_owned));
            } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
                for (at, letter) in letters.char_indices() {
                    if !WITH_VALUE.contains(letter) {
                        found.option(letter, None, dialect);
                        continue;
                    }
                    let rest = &letters[at + letter.len_utf8()..];
                    let value = if rest.is_empty() { words.next() } else { Some(rest) };
                    found.is_cut |= value.is_none();
                    found.option(letter, value, dialect);
                    break;
                }
            } else {
                found.servers.push(word.to_owned());
                found.servers.extend(words.by_ref().map(str::to_owned));
            }
        }
        found
    }

    /// Splits a command line as a shell does: at blanks, with quotes of both kinds, and backslashes before characters.
    pub fn split(text: &str) -> Vec<String> {
        let mut words = Vec::new();
        let mut word: Option<String> = None;
        let mut quote = None;
        let mut characters = text.chars();
        while let Some(c) = characters.next() {
            match (c, quote) {
                ('\\', None | Some('"')) => word.get_or_insert_default().extend(characters.next()),
                (_, Some(open)) if c == open => quote = None,
                ('"' | '\'', None) => {
                    quote = Some(c);
                    word.get_or_insert_default();
                }
                (_, None) if c.is_whitespace() => words.extend(word.take()),
                _ => word.get_or_insert_default().push(c),
            }
        }
        words.extend(word);
        words
    }

    fn option(&mut self, letter: char, value: Option<&str>, dialect: Dialect) {
        let org = dialect != Dialect::NtpSec;
        match (letter, value.filter(|value| !value.is_empty())) {
            // With both, ntp.org's ntpd uses IPv4, and NTPsec's both families.
            ('4', _) => self.family = Some(Family::V4),
            ('6', _) => self.family = self.family.or(Some(Family::V6)),
            ('a', _) if org => self.auth = Some(true),
            ('A', _) if org => self.auth = self.auth.or(Some(false)),
            ('b', _) if org => self.broadcasts = true,
            ('c', Some(file)) => self.config = Some(file.into()),
            ('I', Some(name)) => self.interfaces.push(name.to_owned()),
            ('k', Some(file)) => self.keys = Some(file.into()),
            ('L', _) => self.no_virtual = true,
            // As atol(3): the leading digits.
            ('t', Some(key)) => {
                let digits = key.trim_start().trim_start_matches('+');
                let digits = &digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len())];
                self.trusted_keys.extend(digits.parse::<u32>().ok().filter(|key| *key != 0));
            }
            _ => (),
        }
    }

    /// Whether authentication is off until ntp.conf is read.
    pub fn is_auth_off(&self) -> bool {
        self.auth == Some(false)
    }
}

/// The configuration in it, in words; empty if there is none.
impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |words: &[String]| words.join(" ");
        let keys: Vec<_> = self.trusted_keys.iter().map(ToString::to_string).collect();
        let parts = [
            (!self.servers.is_empty()).then(|| format!("servers {}", list(&self.servers))),
            (!keys.is_empty()).then(|| format!("trusted keys {}", list(&keys))),
            self.keys.as_ref().map(|file| format!("keys in {}", file.display())),
            self.auth
                .map(|on| (if on { "authentication needed" } else { "no authentication needed" }).to_owned()),
            self.family.map(|family| match family {
                Family::V4 => "IPv4 alone".to_owned(),
                Family::V6 => "IPv6 alone".to_owned(),
            }),
            (!self.interfaces.is_empty()).then(|| format!("listens on {}", list(&self.interfaces))),
            self.no_virtual.then(|| "not on virtual interfaces".to_owned()),
            self.broadcasts.then(|| "takes broadcasts".to_owned()),
            self.is_cut.then(|| "its end is cut off, and there may be more servers".to_owned()),
        ];
        // Control characters are replaced, since a terminal would obey them.
        let words = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
        f.write_str(&words.replace(char::is_control, "\u{fffd}"))
    }
}

/// The long option that a name means: the one of that name, or the only one that begins with it. AutoOpts ignores case,
/// and treats `_` as `-`.
fn known(name: &str, dialect: Dialect) -> Option<Long> {
    let own = if dialect == Dialect::NtpSec { LONG_SEC } else { LONG_ORG };
    let plain = |name: &str| match dialect {
        Dialect::NtpSec => name.to_owned(),
        _ => name.to_ascii_lowercase().replace(['_', '^'], "-"),
    };
    let name = plain(name);
    let all = || LONG.iter().chain(own).copied();
    if let Some(exact) = all().find(|(known, ..)| plain(known) == name) {
        return Some(exact);
    }
    let mut begin = all().filter(|(known, ..)| plain(known).starts_with(&name));
    begin.next().filter(|_| begin.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use Dialect::{Ntp426, Ntp428, NtpSec};

    fn parse(line: &str, dialect: Dialect) -> CommandLine {
        CommandLine::parse(&CommandLine::split(line), dialect)
    }

    #[test]
    fn the_file_on_the_command_line() {
        for line in [
            "-c /a",
            "-c/a",
            "-g -c /a",
            "-gc /a",
            "-ngc/a",
            "--configfile=/a",
            "--configfile /a",
            "--conf /a",
            "-p /b -c /a",
            "-c /b -c /a",
            "-P 5 -c /a",
        ] {
            for dialect in [Ntp426, Ntp428, NtpSec] {
                assert_eq!(parse(line, dialect).config, Some("/a".into()), "{line}");
            }
        }
        for line in ["-g", "-p -c", "-fc", "-c", "--config", "c /a", "-", "-- -c /a", "192.0.2.1 -c /a"] {
            assert_eq!(parse(line, Ntp428).config, None, "{line}");
        }
    }

    #[test]
    fn servers_are_what_follows_the_options() {
        for (line, servers) in [
            ("-n -c /a 192.0.2.2", &["192.0.2.2"][..]),
            ("-n ntp.example.net -g", &["ntp.example.net", "-g"]),
            ("-u ntp:ntp -- -x b", &["-x", "b"]),
            ("-t5", &[]),
            ("-t 5 a b", &["a", "b"]),
            ("--user ntp -D 3 -dx a", &["a"]),
            ("--nice a", &["a"]),
            ("-I eth0 -L a", &["a"]),
            ("-4 a", &["a"]),
        ] {
            for dialect in [Ntp426, Ntp428, NtpSec] {
                assert_eq!(parse(line, dialect).servers, servers, "{line}");
            }
        }
    }

    #[test]
    fn keys_and_authentication() {
        for (line, keys) in [
            ("-t 5 -t7", &[5, 7][..]),
            ("--trustedkey=5x", &[5]),
            ("-t 0", &[]),
            ("-t x", &[]),
            ("-gt9", &[9]),
        ] {
            assert_eq!(parse(line, NtpSec).trusted_keys, keys, "{line}");
            assert_eq!(parse(line, Ntp428).trusted_keys, keys, "{line}");
        }
        for line in ["-A", "-nA4", "--authnoreq", "--AUTHNOREQ", "--authn"] {
            for dialect in [Ntp426, Ntp428] {
                assert!(parse(line, dialect).is_auth_off(), "{line}");
            }
            assert!(!parse(line, NtpSec).is_auth_off(), "no option of NTPsec's");
        }
        assert!(!parse("-A -a", Ntp428).is_auth_off() && !parse("-a -A", Ntp428).is_auth_off());
        assert_eq!(parse("-k /keys", NtpSec).keys, Some("/keys".into()));
        assert!(parse("-b", Ntp426).broadcasts && !parse("-g", Ntp426).broadcasts);
    }

    #[test]
    fn an_end_that_cannot_be_seen_is_told() {
        for line in [
            "-g ntp.exam\u{2026}",
            "a ntp.exam\u{2026}",
            "-c /etc/nt\u{2026}",
            "-g -k",
            "--keyfile",
            "-gt",
            "-\u{2026}",
        ] {
            for dialect in [Ntp426, Ntp428, NtpSec] {
                let found = parse(line, dialect);
                assert!(found.is_cut, "{line}");
                assert!(
                    found.to_string().ends_with("its end is cut off, and there may be more servers"),
                    "{found}"
                );
                assert!(found.servers.iter().all(|server| server == "a"), "{line}: no half of a name");
                assert_eq!(found.config, None, "{line}: no half of a path");
            }
        }
        for line in ["-g ntp.example.net", "-k /keys", "--keyfile=", "-t5"] {
            assert!(!parse(line, Ntp428).is_cut, "{line}");
        }
    }

    #[test]
    fn what_is_said_of_it() {
        let line = "-4 -L -I eth0 -k /keys -t5 -t 6 -A ntp.example.net 192.0.2.1";
        assert_eq!(
            parse(line, Ntp428).to_string(),
            "servers ntp.example.net 192.0.2.1, trusted keys 5 6, keys in /keys, no authentication needed, IPv4 alone, \
             listens on eth0, not on virtual interfaces"
        );
        assert_eq!(parse("-n -g -c /a -u ntp:ntp", Ntp428).to_string(), "");
        let evil = CommandLine::parse(&["\u{1b}[2Jx"], NtpSec).to_string();
        assert!(!evil.contains('\u{1b}'), "{evil:?}");
    }

    #[test]
    fn words_as_a_shell_cuts_them() {
        for (text, words) in [
            ("-g -u  ntp:ntp", &["-g", "-u", "ntp:ntp"][..]),
            ("-c '/a b' \"c d\"e", &["-c", "/a b", "c de"]),
            ("a\\ b ''", &["a b", ""]),
            ("\"unclosed x", &["unclosed x"]),
            ("", &[]),
        ] {
            assert_eq!(CommandLine::split(text), words, "{text}");
        }
    }
}
