//! Reading the file and those it includes.

use super::{ConfFile, Directive, MAX_WORD, Place, line};
use anyhow::{Context as _, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// How deep `includefile` may nest (ntp_scanner.h:MAXINCLUDELEVEL); deeper ones are skipped with a word.
const MAX_INCLUDE_LEVEL: usize = 5;

/// Whether reading goes on after a file.
#[derive(PartialEq, Eq)]
enum Flow {
    On,
    End,
}

/// Reads a configuration; `None` is the absence of a file, which leaves the daemon at its built-in defaults.
///
/// # Errors
/// The file can't be read, or has a word so long that the daemon refuses to start.
pub fn read(path: Option<&Path>) -> Result<ConfFile> {
    let mut conf = ConfFile::default();
    if let Some(path) = path {
        let bytes = fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
        one(&mut conf, path.to_owned(), &bytes, 0)?;
    }
    Ok(conf)
}

fn one(conf: &mut ConfFile, path: PathBuf, bytes: &[u8], level: usize) -> Result<Flow> {
    let file = conf.files.len();
    conf.files.push(path);
    if bytes.contains(&0) {
        bail!("{} is not a text file: it contains zero bytes", conf.files[file].display());
    }
    for (number, text) in (1..).zip(bytes.split(|&b| b == b'\n')) {
        match line(conf, file, number, text) {
            Directive::Done => (),
            Directive::End => return Ok(Flow::End),
            Directive::LongWord(span) => bail!(
                "{}: a word of {} characters; ntpd refuses to start on one over {MAX_WORD}: shorten it",
                conf.show(Place { file, span }),
                span.length
            ),
            // The daemon takes the path as it stands, relative to its own working directory, and skips a file
            // that it can't read (ntp_scanner.c:lex_push_file).
            Directive::Include(word) if level == MAX_INCLUDE_LEVEL => {
                conf.warn(
                    file,
                    word.span,
                    "included too deep: the daemon skips it; does the file include itself?",
                );
            }
            Directive::Include(word) => match fs::read(&word.text) {
                Ok(bytes) => {
                    if one(conf, PathBuf::from(&word.text), &bytes, level + 1)? == Flow::End {
                        return Ok(Flow::End);
                    }
                }
                Err(error) => conf.warn(file, word.span, format!("can't be read, and is skipped: {error}")),
            },
        }
    }
    Ok(Flow::On)
}
