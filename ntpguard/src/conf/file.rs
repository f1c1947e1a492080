//! Reading the file and those it includes.

use super::{ConfFile, Directive, Line, MAX_WORD, Place, Span, Word, line};
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
    let Some(path) = path else { return Ok(conf) };
    let bytes = fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
    one(&mut conf, path.to_owned(), &bytes, 0, false)?;
    // NTPsec reads this folder too, even after `end` (ntp_config.c:readconfig); ntp.org's ntpd doesn't.
    let folder = sibling(path, Path::new("ntp.d"));
    match folder.try_exists() {
        Ok(true) => all(&mut conf, &folder, 0)?,
        Ok(false) => (),
        Err(error) => {
            conf.blind(0, Span::default(), &format!("{} can't be read ({error})", folder.display()))
        }
    }
    Ok(conf)
}

/// Reads one file; `uncertain` if not every daemon does.
fn one(conf: &mut ConfFile, path: PathBuf, bytes: &[u8], level: usize, uncertain: bool) -> Result<Flow> {
    let file = conf.files.len();
    conf.files.push(path.clone());
    if bytes.contains(&0) {
        bail!("{} is not a text file: it contains zero bytes", path.display());
    }
    for (number, text) in (1..).zip(bytes.split(|&b| b == b'\n')) {
        match line(conf, &Line { file, number, text, uncertain }) {
            Directive::Done => (),
            Directive::End => return Ok(Flow::End),
            Directive::LongWord(span) => bail!(
                "{}: a word of {} characters; ntpd refuses to start on one over {MAX_WORD}: shorten it",
                conf.show(Place { file, span }),
                span.length
            ),
            Directive::Include(word) if level == MAX_INCLUDE_LEVEL => {
                conf.warn(
                    file,
                    word.span,
                    "included too deep: the daemon skips it; does the file include itself?",
                );
            }
            Directive::Include(word) => {
                if include(conf, &path, file, &word, level + 1, uncertain)? == Flow::End {
                    return Ok(Flow::End);
                }
            }
        }
    }
    Ok(Flow::On)
}

/// Reads what `includefile` names in the file at `from`. ntp.org's ntpd takes the path as it stands, relative to a
/// working directory that only it knows; NTPsec relative to the including file, and it reads folders
/// (ntp_scanner.c:lex_push_file).
fn include(
    conf: &mut ConfFile,
    from: &Path,
    file: usize,
    word: &Word,
    level: usize,
    uncertain: bool,
) -> Result<Flow> {
    let named = Path::new(&word.text);
    let path = sibling(from, named);
    if path.is_dir() {
        conf.warn(
            file,
            word.span,
            "a folder, which only NTPsec reads: nothing is dropped on account of its lines",
        );
        all(conf, &path, level)?;
        return Ok(Flow::On);
    }
    match fs::read(&path) {
        Ok(bytes) if named.is_absolute() => one(conf, path, &bytes, level, uncertain),
        Ok(bytes) => {
            conf.blind(
                file,
                word.span,
                "a relative path, which ntp.org's ntpd takes from its working directory",
            );
            one(conf, path, &bytes, level, true)
        }
        Err(error) => {
            conf.blind(file, word.span, &format!("{} can't be read ({error})", path.display()));
            Ok(Flow::On)
        }
    }
}

/// Reads `*.conf` in a folder and those below it, sorted, as NTPsec does.
fn all(conf: &mut ConfFile, folder: &Path, level: usize) -> Result<()> {
    let out_of_reach = |conf: &mut ConfFile, path: &Path, error| {
        conf.blind(0, Span::default(), &format!("{} can't be read ({error})", path.display()));
    };
    let listed = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut paths: Vec<PathBuf> = match listed {
        Ok(paths) => paths,
        Err(error) => {
            out_of_reach(conf, folder, error);
            return Ok(());
        }
    };
    paths.sort();
    for path in paths {
        if path.is_dir() && level < MAX_INCLUDE_LEVEL {
            all(conf, &path, level + 1)?;
        } else if path.extension().is_some_and(|extension| extension == "conf") {
            match fs::read(&path) {
                Ok(bytes) => one(conf, path, &bytes, level, true).map(drop)?,
                Err(error) => out_of_reach(conf, &path, error),
            }
        }
    }
    Ok(())
}

/// A path relative to the folder of another.
fn sibling(path: &Path, other: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).join(other)
}
