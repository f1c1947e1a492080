//! ntp.conf, read as the daemon reads it: text to [`ConfFile`]. Nothing is resolved here, and the only I/O is the
//! reading of the file and of those it includes.
//!
//! Contract: a line that the daemon drops is dropped, the part that it keeps is kept (it applies what stands before
//! the first word it doesn't know, and starts), and each such line leaves a [`Diagnostic`]. Where ntp.org's ntpd
//! 4.2.6, 4.2.8 and NTPsec read a line differently, the line is marked [`Restrict::uncertain`], and nothing is
//! dropped on its account.

mod file;
mod flags;
mod lexer;
mod restrict;
#[cfg(test)]
mod tests;

pub use file::read;
pub use flags::Flags;
pub use restrict::{Family, Restrict, Target};

use lexer::{Special, Word, is_foreign, words};
use std::{fmt, path::PathBuf};

/// The longest word that any daemon takes; all refuse to start on a longer one (ntp_scanner.c:MAX_LEXEME, 1025 in
/// 4.2.6 and NTPsec; 128 in 4.2.8).
pub const MAX_WORD: usize = 1024;

/// Where something stands in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Span {
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1.
    pub column: usize,
    /// Length in bytes.
    pub length: usize,
}

/// A place in one of the files read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index into [`ConfFile::files`].
    pub file: usize,
    /// Where in that file.
    pub span: Span,
}

/// Something an administrator should know about a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The line.
    pub place: Place,
    /// What the daemon does with it, and what was probably meant.
    pub message: String,
}

/// A line that sets up an association: `server`, `pool`, `peer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Association {
    /// The host, as written.
    pub host: String,
    /// Where it stands.
    pub place: Place,
}

/// A configuration: one file and those it includes, in reading order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfFile {
    /// The files, the first one first. Empty when there is none: the daemon's built-in defaults.
    pub files: Vec<PathBuf>,
    /// The `restrict` lines.
    pub restricts: Vec<Restrict>,
    /// The `server`, `pool` and `peer` lines.
    pub associations: Vec<Association>,
    /// What an administrator should know.
    pub diagnostics: Vec<Diagnostic>,
    /// Some lines that a daemon may read are not in here: nothing may be dropped on account of the others.
    pub blind: bool,
}

impl ConfFile {
    /// `path:line:column` of a place.
    pub fn show(&self, place: Place) -> impl fmt::Display {
        let Span { line, column, .. } = place.span;
        format!("{}:{line}:{column}", self.files[place.file].display())
    }

    /// Some lines are out of reach: says why, and that nothing is enforced.
    fn blind(&mut self, file: usize, span: Span, why: &str) {
        self.blind = true;
        self.warn(file, span, format!("{why}: no line of the configuration is enforced, only hardening"));
    }

    fn warn(&mut self, file: usize, span: Span, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic { place: Place { file, span }, message: message.into() });
    }
}

/// What a line asks the reader of files to do.
enum Directive {
    /// Nothing; go on.
    Done,
    /// Read this file now.
    Include(Word),
    /// `end`: read nothing more, here or in the including files.
    End,
    /// A word longer than [`MAX_WORD`].
    LongWord(Span),
}

/// One line, and where it stands.
struct Line<'a> {
    file: usize,
    number: usize,
    text: &'a [u8],
    /// Not every daemon reads the file that it stands in.
    uncertain: bool,
}

/// Reads one line into `conf`.
fn line(conf: &mut ConfFile, line: &Line<'_>) -> Directive {
    let Line { file, number, text, .. } = *line;
    let strings = words(text, number, Special::Ordinary);
    let Some(keyword) = strings.first() else { return Directive::Done };
    if let Some(long) = strings.iter().find(|word| word.text.len() > MAX_WORD) {
        return Directive::LongWord(long.span);
    }
    match keyword.text.as_str() {
        _ if keyword.quoted => (),
        "restrict" | "unrestrict" | "delrestrict" => {
            restrict::parse(conf, line, &words(text, number, Special::Words));
        }
        "server" | "pool" | "peer" => match associated(&strings[1..]) {
            Some(host) => {
                let place = Place { file, span: host.span };
                conf.associations.push(Association { host: host.text.clone(), place });
            }
            None => conf.warn(
                file,
                keyword.span,
                format!("`{}` without a host: the daemon drops it", keyword.text),
            ),
        },
        "includefile" | "end" if is_foreign(text) => {
            conf.blind(file, keyword.span, "bytes over 0x7f, at which 4.2.6 stops and the others don't");
        }
        "includefile" => match strings.get(1) {
            Some(path) => return Directive::Include(path.clone()),
            None => conf.warn(file, keyword.span, "`includefile` without a path: the daemon drops the line"),
        },
        "end" => return Directive::End,
        word if flags::one_edit("restrict", &word.to_ascii_lowercase()) => conf.warn(
            file,
            keyword.span,
            format!("`{word}` is no keyword: the daemon drops the line; did you mean `restrict`?"),
        ),
        // The rest of the language, `disable monitor` included, has no say in what passes.
        _ => (),
    }
    Directive::Done
}

/// The host of an association line, past `-4` and `-6`.
fn associated(words: &[Word]) -> Option<&Word> {
    words.iter().find(|word| !word.is("-4") && !word.is("-6"))
}
