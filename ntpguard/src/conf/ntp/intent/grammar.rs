//! The grammar of all lines but the access lines (ntp_parser.y), as far as it decides what a daemon loses of a line.
//!
//! Contract: only certain errors are reported. The parsers are LALR(1) with default reductions: a word that can't
//! follow ends a line, and the part before it takes effect if it is a complete command; an option without its value
//! loses the whole line.

use crate::{
    conf::{
        diagnostic::{Code, Diagnostic},
        ntp::{
            ConfFile,
            edit::is_one_edit,
            keywords::{Demand, demands},
            lexer::Word,
            line::Line,
        },
    },
    daemon::dialect::Dialect::{self, Ntp426, Ntp428, NtpSec},
};

const ALL: &[Dialect] = &[Ntp426, Ntp428, NtpSec];
const ORG: &[Dialect] = &[Ntp426, Ntp428];
const NEW: &[Dialect] = &[Ntp428, NtpSec];

mod kind;

use kind::{Kind, Times};

type Step = (Kind, Times);

use Kind::{Alone, Boolean, Double, Host, Integer, Keys, Number, Option as Of, Text, Unsigned};
use Times::{Any, Maybe, Once, Some as Many};

/// Commands: the daemons that have them, their keywords, and what follows. Access lines, `enable` and `disable`, and
/// the commands that are left out ([`OTHERS`]) aren't checked here.
const COMMANDS: &[(&[Dialect], &str, &[Step])] = &[
    (ALL, "server pool peer", &[(Host, Once), (Of("association"), Any)]),
    (ORG, "broadcast manycastclient", &[(Host, Once), (Of("association"), Any)]),
    (ORG, "broadcastclient", &[]),
    (ORG, "manycastserver multicastclient", &[(Host, Many)]),
    (NEW, "mdnstries dscp leapsmearinterval", &[(Integer, Once)]),
    (ORG, "automax revoke", &[(Integer, Once)]),
    (&[Ntp426], "calldelay", &[(Integer, Once)]),
    (ALL, "controlkey requestkey", &[(Integer, Once)]),
    (ALL, "trustedkey", &[(Keys, Many)]),
    (ALL, "keys ntpsigndsocket statsdir logfile pidfile", &[(Text, Once)]),
    (&[Ntp426, NtpSec], "leapfile", &[(Text, Once)]),
    (&[Ntp428], "leapfile", &[(Text, Once), (Of("leapfile"), Maybe)]),
    (ORG, "keysdir saveconfigdir", &[(Text, Once)]),
    (&[Ntp428], "ident", &[(Text, Once)]),
    (&[Ntp426], "qos", &[(Text, Once)]),
    (ORG, "crypto", &[(Of("crypto"), Any)]),
    (ALL, "tos", &[(Of("tos"), Many)]),
    (ALL, "tinker", &[(Of("tinker"), Many)]),
    (ALL, "statistics", &[(Of("statistics"), Many)]),
    (ALL, "filegen", &[(Of("statistics"), Once), (Of("filegen"), Any)]),
    (ALL, "fudge", &[(Host, Once), (Of("fudge"), Many)]),
    (&[Ntp428], "device", &[(Host, Once), (Of("device"), Many)]),
    (NEW, "rlimit", &[(Of("rlimit"), Many)]),
    (NEW, "reset", &[(Of("reset"), Many)]),
    (&[NtpSec], "nts", &[(Of("nts"), Many)]),
    (&[NtpSec], "extra", &[(Of("extra"), Many)]),
    (&[NtpSec], "refclock", &[(Text, Once), (Of("unit"), Maybe), (Of("association"), Any)]),
    (ALL, "interface nic", &[(Of("nic action"), Once), (Of("nic"), Once)]),
    (ORG, "broadcastdelay", &[(Number, Once)]),
    (ALL, "tick", &[(Number, Once)]),
    (NEW, "nonvolatile", &[(Number, Once)]),
    (ALL, "driftfile", &[(Text, Maybe), (Double, Maybe)]),
    (ALL, "logconfig phone", &[(Text, Many)]),
    (ORG, "trap", &[(Text, Once), (Of("trap"), Any)]),
    (ORG, "ttl", &[(Integer, Many)]),
    (ALL, "end", &[]),
];

/// Options: the table that they belong to, the daemons that have them, their words, and the value that each requires.
/// After `nic` any string may stand as well.
#[rustfmt::skip]
const OPTIONS: &[(&str, &[Dialect], &str, Kind)] = &[
    ("association", ALL, "burst iburst noselect prefer true", Alone),
    ("association", ORG, "autokey preempt xleave", Alone),
    ("association", &[Ntp428], "xmtnonce", Alone),
    ("association", &[NtpSec], "noval nts", Alone),
    ("association", ALL, "key minpoll maxpoll mode version", Unsigned),
    ("association", ORG, "ttl", Unsigned),
    ("association", &[NtpSec], "subtype baud", Unsigned),
    ("association", &[NtpSec], "stratum", Integer),
    ("association", &[Ntp426, NtpSec], "bias", Number),
    ("association", &[NtpSec], "time1 time2", Number),
    ("association", &[NtpSec], "flag1 flag2 flag3 flag4", Boolean),
    ("association", &[Ntp428], "ident", Text),
    ("association", &[NtpSec], "refid path ppspath ca cert aead", Text),
    ("leapfile", &[Ntp428], "checkhash ignorehash", Alone),
    ("crypto", ORG, "host ident pw randfile digest", Text),
    ("crypto", &[Ntp426], "sign", Text),
    ("crypto", ORG, "revoke", Integer),
    ("tos", ALL, "ceiling floor orphan minsane", Integer),
    ("tos", ORG, "beacon", Integer),
    ("tos", NEW, "orphanwait", Integer),
    ("tos", &[Ntp428], "bcpollbstep maxclock minclock", Integer),
    ("tos", &[Ntp426, NtpSec], "maxclock minclock", Number),
    ("tos", ALL, "mindist maxdist", Number),
    ("tos", &[NtpSec], "maxdisp", Number),
    ("tos", ORG, "cohort", Boolean),
    ("tos", &[Ntp428], "basedate", Text),
    ("tinker", ALL, "allan dispersion freq huffpuff panic step stepout", Number),
    ("tinker", NEW, "stepback stepfwd", Number),
    ("tinker", &[Ntp428], "tick", Number),
    ("statistics", ALL, "clockstats loopstats peerstats rawstats sysstats protostats", Alone),
    ("statistics", ORG, "cryptostats timingstats", Alone),
    ("statistics", &[NtpSec], "usestats ntsstats ntskestats ntskelog", Alone),
    ("filegen", ALL, "file", Text),
    ("filegen", ALL, "type", Of("type")),
    ("filegen", ALL, "link nolink enable disable", Alone),
    ("type", ALL, "none pid day week month year age", Alone),
    ("fudge", ALL, "time1 time2", Number),
    ("fudge", &[Ntp428], "minjitter", Number),
    ("fudge", ALL, "flag1 flag2 flag3 flag4", Boolean),
    ("fudge", ALL, "stratum", Integer),
    ("fudge", ALL, "refid", Text),
    ("fudge", &[Ntp428], "abbrev", Text),
    ("device", &[Ntp428], "timedata ppsdata", Text),
    ("rlimit", NEW, "memlock stacksize filenum", Integer),
    ("reset", NEW, "allpeers auth ctl io mem sys timer", Alone),
    ("nts", &[NtpSec], "aead ca cert cookie key maxtls mintls tlsciphersuites tlsecdhcurves", Text),
    ("nts", &[NtpSec], "disable enable tlscipherserverpreference", Alone),
    ("nts", &[NtpSec], "port pool", Number),
    ("extra", &[NtpSec], "port", Number),
    ("unit", &[NtpSec], "unit", Integer),
    ("nic action", ALL, "listen ignore drop", Alone),
    ("nic", ALL, "all ipv4 ipv6 wildcard", Alone),
    ("trap", ORG, "port", Integer),
    ("trap", ORG, "interface", Text),
];

/// Commands whose lines are read elsewhere, or that aren't checked: `simulate` has a grammar of its own, `setvar` and
/// `pollskewlist` are of no interest.
const OTHERS: &str = "restrict unrestrict delrestrict discard limit mru enable disable includefile simulate setvar \
     pollskewlist unpeer unconfig";

/// A syntax error in a line.
struct Fault<'a> {
    /// The word to blame: one that can't stand there, or one that lacks another after it.
    word: &'a Word<'a>,
    what: String,
    help: Option<String>,
    /// Whether the part before the word takes effect.
    applied: bool,
}

/// Reports what the daemon loses of a line.
pub(in crate::conf::ntp) fn check(conf: &mut ConfFile, line: &Line<'_>, words: &[Word<'_>]) {
    let dialect = conf.daemon.dialect;
    let [keyword, rest @ ..] = words else { return };
    if OTHERS.split_whitespace().any(|other| keyword.is(other)) {
        return;
    }
    let mut commands = COMMANDS.iter().filter(|(dialects, ..)| dialects.contains(&dialect));
    let command = commands.find(|(_, names, _)| names.split(' ').any(|name| keyword.is(name)));
    let Some((.., steps)) = command else {
        let message = format!("no line begins with `{}`: the daemon drops it", keyword.text);
        return conf.list.diagnostics.push(Diagnostic::at(Code::UnknownKeyword, line.at(keyword), message));
    };
    let strings = demands(&keyword.text, dialect) == Demand::Strings;
    let rest = Rest { dialect, last: keyword, rest, strings };
    let Err(Fault { word, what, help, applied }) = rest.command(steps) else { return };
    let loss =
        if applied { "the daemon drops it and what follows" } else { "the daemon drops the whole line" };
    // Without its servers a daemon has no time to serve.
    let association = ["server", "pool", "peer"].iter().any(|name| keyword.is(name));
    let code = if association && !applied { Code::Misplaced } else { Code::Syntax };
    let found = Diagnostic::at(code, line.at(word), format!("{what}: {loss}"));
    conf.list.diagnostics.push(Diagnostic { help, ..found });
}

/// The words that are still to be read.
struct Rest<'a> {
    dialect: Dialect,
    /// The word before them.
    last: &'a Word<'a>,
    rest: &'a [Word<'a>],
    /// Whether all of them are read as strings.
    strings: bool,
}

impl<'a> Rest<'a> {
    fn command(mut self, steps: &[Step]) -> Result<(), Fault<'a>> {
        for (kind, times) in steps {
            let mut needed = matches!(times, Once | Many);
            loop {
                let Some(word) = self.rest.first() else {
                    if needed {
                        let what = format!("`{}` needs {} behind it", self.last.text, kind.name());
                        return Err(Fault { word: self.last, what, help: None, applied: false });
                    }
                    break;
                };
                if self.takes(*kind)? {
                    needed = false;
                } else if needed {
                    return Err(self.misfit(word, *kind, false));
                } else {
                    break;
                }
                if matches!(times, Once | Maybe) {
                    break;
                }
            }
        }
        match self.rest.first() {
            Some(word) => {
                let options = steps.iter().rev().find(|(kind, _)| matches!(kind, Of(_)));
                Err(self.misfit(word, options.map_or(Alone, |(kind, _)| *kind), true))
            }
            None => Ok(()),
        }
    }

    /// The error for a word that can't stand where something of `kind` is expected.
    fn misfit(&self, word: &'a Word<'a>, kind: Kind, applied: bool) -> Fault<'a> {
        let what = match kind {
            _ if applied => format!("`{}` can't follow here", word.text),
            Of(_) => format!("`{}` can't follow `{}`", word.text, self.last.text),
            _ => format!("`{}` needs {} behind it, and `{}` is none", self.last.text, kind.name(), word.text),
        };
        let help = match kind {
            Of(table) => self.meant(table, word),
            _ => None,
        };
        Fault { word, what, help, applied }
    }

    /// What an option was probably meant to be: one of this daemon's with one letter wrong, or another daemon's.
    fn meant(&self, table: &str, word: &Word<'_>) -> Option<String> {
        let mut options = OPTIONS.iter().filter(|(of, ..)| *of == table);
        let lower = word.text.to_ascii_lowercase();
        let mine = options.clone().filter(|(_, dialects, ..)| dialects.contains(&self.dialect));
        let mut mine = mine.flat_map(|(_, _, names, _)| names.split(' '));
        if let Some(meant) = mine.find(|name| is_one_edit(name, &lower)) {
            return Some(match word.quoted {
                true => format!("write `{meant}` without quotes"),
                false => format!("did you mean `{meant}`?"),
            });
        }
        let (_, dialects, ..) =
            options.find(|(_, _, names, _)| names.split(' ').any(|name| word.is(name)))?;
        let daemons: Vec<_> = dialects.iter().map(ToString::to_string).collect();
        Some(format!("it is a word of {}", daemons.join(" and ")))
    }

    fn step(&mut self) {
        if let [first, rest @ ..] = self.rest {
            (self.last, self.rest) = (first, rest);
        }
    }

    /// Takes what is expected if the next word begins it; otherwise takes nothing.
    fn takes(&mut self, kind: Kind) -> Result<bool, Fault<'a>> {
        let Some(word) = self.rest.first() else { return Ok(false) };
        match kind {
            Alone => return Ok(false),
            Host => {
                if word.is("-4") || word.is("-6") {
                    self.step();
                    if self.rest.is_empty() {
                        let what = format!("`{}` needs a host behind it", word.text);
                        return Err(Fault { word, what, help: None, applied: false });
                    }
                }
                // What follows is a string, whatever it looks like.
                self.step();
                return Ok(true);
            }
            Keys if word.is("(") => return self.range(word),
            Of(table) => return self.option(table, word),
            _ => (),
        }
        let fits = self.fits(word, kind);
        if fits {
            self.step();
        }
        Ok(fits)
    }

    /// `(FIRST ... LAST)` (ntp_parser.y: integer_range).
    fn range(&mut self, open: &'a Word<'a>) -> Result<bool, Fault<'a>> {
        let integer = |word: &Word<'_>| word.integer(self.dialect).is_some();
        match self.rest {
            [_, first, dots, last, close, ..]
                if integer(first) && dots.is("...") && integer(last) && close.is(")") =>
            {
                (0..5).for_each(|_| self.step());
                Ok(true)
            }
            _ => {
                let what =
                    "a range of keys is written `(FIRST ... LAST)`, with spaces around the dots".to_owned();
                Err(Fault { word: open, what, help: None, applied: false })
            }
        }
    }

    fn option(&mut self, table: &str, word: &'a Word<'a>) -> Result<bool, Fault<'a>> {
        let known = |(of, dialects, names, _): &&(&str, &[Dialect], &str, Kind)| {
            *of == table && dialects.contains(&self.dialect) && names.split(' ').any(|name| word.is(name))
        };
        let Some((.., value)) = OPTIONS.iter().find(known) else {
            // A name or an address of an interface.
            let text = table == "nic" && self.fits(word, Text);
            if text {
                self.step();
            }
            return Ok(text);
        };
        self.step();
        if *value == Alone {
            return Ok(true);
        }
        let Some(given) = self.rest.first() else {
            let what = format!("`{}` needs {} behind it", word.text, value.name());
            return Err(Fault { word, what, help: None, applied: false });
        };
        if self.takes(*value)? { Ok(true) } else { Err(self.misfit(given, *value, false)) }
    }

    /// Whether a word is of a kind that consists of a single word.
    fn fits(&self, word: &Word<'_>, kind: Kind) -> bool {
        let integer = word.integer(self.dialect).is_some();
        let past_i32 = !word.quoted && word.text.bytes().all(|byte| byte.is_ascii_digit()) && !integer;
        // NTPsec's suffixes for GPS eras.
        let era = self.dialect == NtpSec && word.text.ends_with(['g', 'G']);
        let number = word.is_number() && !past_i32 || era;
        match kind {
            Integer | Keys => integer,
            Unsigned => integer || past_i32 || (self.dialect != Ntp426 && word.is_hexadecimal()),
            Number => integer || number,
            Double => number && !integer,
            Boolean => integer || word.is("true") || word.is("false"),
            Text => {
                let demanded = !self.last.quoted && demands(&self.last.text, self.dialect) != Demand::Nothing;
                let plain = !word.is_keyword(self.dialect) && !word.is_special();
                demanded
                    || self.strings
                    || word.quoted
                    || (plain && !integer && !number && !self.unsigned(word))
            }
            Alone | Host | Of(_) => false,
        }
    }

    fn unsigned(&self, word: &Word<'_>) -> bool {
        let digits = word.text.bytes().all(|byte| byte.is_ascii_digit());
        self.dialect != Ntp426 && (word.is_hexadecimal() || digits)
    }
}

#[cfg(test)]
mod tests;
