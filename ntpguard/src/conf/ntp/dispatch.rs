//! Reads commands other than `restrict`, and hands each to its reader.

use super::{
    ConfFile, Span,
    intent::{grammar, template},
    keywords,
    lexer::Word,
    limits,
    line::Line,
    restrict,
};
use crate::{
    conf::{
        Association,
        diagnostic::{Code, Diagnostic},
    },
    daemon::dialect::Daemon,
};

/// The options of an association that authenticate its packets.
const AUTHENTICATED: [&str; 3] = ["autokey", "key", "nts"];

/// What a command asks the reader of files to do next.
pub(super) enum Directive<'a> {
    /// Nothing more: go on to the next command.
    Done,
    /// Read this file now.
    Include(Word<'a>),
    /// Skip a `simulate` block: what follows this word isn't read line by line.
    Simulate(Word<'a>),
    /// `end`: stop reading, here and in the including files.
    End,
    /// A word so long that the daemon refuses to start.
    LongWord {
        /// Where the word stands.
        at: Span,
        /// Its length in bytes.
        bytes: usize,
    },
}

/// Reads one line into `conf`.
pub(super) fn read<'a>(conf: &mut ConfFile, line: &Line<'a>) -> Directive<'a> {
    let words = line.words(conf.daemon);
    if let Some(long) = too_long(words.iter(), conf.daemon) {
        return long;
    }
    template::check(conf, line);
    for words in words.split(Word::is_end) {
        match command(conf, line, words) {
            Directive::Done => (),
            other => return other,
        }
    }
    Directive::Done
}

/// Reads one command; what the daemon can't parse is lost.
fn command<'a>(conf: &mut ConfFile, line: &Line<'a>, words: &[Word<'a>]) -> Directive<'a> {
    let Some(keyword) = words.first() else { return Directive::Done };
    if !keyword.is_keyword(conf.daemon.dialect) {
        unknown(conf, line, keyword);
        return Directive::Done;
    }
    grammar::check(conf, line, words);
    match &*keyword.text {
        "restrict" | "unrestrict" | "delrestrict" => {
            restrict::parse(conf, line, words);
        }
        "server" | "pool" | "peer" | "broadcast" | "manycastclient" => {
            if let Some(host) = host(&words[1..]) {
                let place = line.at(host);
                conf.list.associations.push(Association {
                    keyword: keyword.text.to_string(),
                    host: Some(host.text.to_string()),
                    authenticated: words.iter().any(|word| AUTHENTICATED.iter().any(|key| word.is(key))),
                    place,
                });
            }
        }
        "broadcastclient" | "multicastclient" | "manycastserver" => {
            conf.list.associations.push(Association {
                keyword: keyword.text.to_string(),
                host: None,
                authenticated: false,
                place: line.at(keyword),
            });
        }
        "enable" | "disable" => switch(conf, line, words),
        "discard" | "limit" => limits::parse(conf, line, words),
        "mru" => limits::parse_mru(conf, words),
        "trustedkey" => conf.trusts_keys |= words.len() > 1,
        "includefile" => match words.get(1) {
            Some(path) => return Directive::Include(path.clone()),
            None => {
                let message = "`includefile` without a path: the daemon drops the line";
                conf.list.add(Diagnostic::at(Code::Misplaced, line.at(keyword), message));
            }
        },
        "simulate" => return Directive::Simulate(keyword.clone()),
        "end" => return Directive::End,
        // The other commands don't affect which packets pass.
        _ => (),
    }
    Directive::Done
}

/// The first word that is too long for the daemon.
pub(super) fn too_long<'a, 'w>(
    mut words: impl Iterator<Item = &'w Word<'a>>,
    daemon: Daemon,
) -> Option<Directive<'a>>
where
    'a: 'w,
{
    let long = words.find(|word| word.bytes > daemon.max_word())?;
    Some(Directive::LongWord { at: long.span, bytes: long.bytes })
}

/// Reports a line that doesn't begin with a keyword of this daemon.
fn unknown(conf: &mut ConfFile, line: &Line<'_>, keyword: &Word<'_>) {
    let Daemon { dialect, .. } = conf.daemon;
    let others = keywords::dialects(&keyword.text);
    let meant = keywords::meant(&keyword.text, dialect);
    let restricts = |word: &str| word.ends_with("restrict");
    let code = if meant.is_some_and(restricts) || restricts(&keyword.text) {
        Code::UnknownRestrict
    } else {
        Code::UnknownKeyword
    };
    let message = if keyword.quoted || others.is_empty() {
        format!("`{}` is no keyword: the daemon drops the line", keyword.text)
    } else {
        format!("{dialect} doesn't know `{}`: it drops the line", keyword.text)
    };
    let mut found = Diagnostic::at(code, line.at(keyword), message);
    if let Some(meant) = meant {
        found = found.help(format!("did you mean `{meant}`?"));
    } else if !keyword.quoted && !others.is_empty() {
        let names: Vec<_> = others.iter().map(ToString::to_string).collect();
        found = found.help(format!(
            "it is a word of {}; which daemon reads this file? --dialect says it",
            names.join(" and ")
        ));
    }
    conf.list.add(found);
}

/// `enable` and `disable`: the words before the first one that can't follow take effect.
fn switch(conf: &mut ConfFile, line: &Line<'_>, words: &[Word<'_>]) {
    let on = words[0].is("enable");
    for word in &words[1..] {
        match &*word.text {
            _ if word.quoted || !keywords::is_switch(&word.text, conf.daemon.dialect) => {
                let message =
                    format!("`{}` is nothing to switch: the daemon drops it and what follows", word.text);
                conf.list.add(Diagnostic::at(Code::Misplaced, line.at(word), message));
                return;
            }
            "mode7" if on => conf.mode7_on = true,
            "mode7" => conf.mode7_off = true,
            "monitor" if !on => conf.list.monitor_off = Some(line.at(word)),
            "auth" if !on => conf.list.auth_off = Some(line.at(word)),
            _ => (),
        }
    }
}

/// The host of an association line, after an optional `-4` or `-6`.
fn host<'a>(words: &'a [Word<'a>]) -> Option<&'a Word<'a>> {
    words.iter().find(|word| !word.is("-4") && !word.is("-6"))
}
