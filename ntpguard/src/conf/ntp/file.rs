//! Reads ntp.conf and the files that it includes.

use super::{
    ConfFile,
    commands::Commands,
    dispatch::{self, Directive},
    foreign,
    lexer::Word,
    simulate,
};
use crate::{
    conf::{
        AccessList, File,
        diagnostic::{Code, Diagnostic},
        place::Place,
    },
    daemon::{CommandLine, dialect::Daemon},
    host::{
        file::{self, Odd},
        file_changes::Fingerprint,
    },
};
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// How deep `includefile` may nest (ntp_scanner.h:MAXINCLUDELEVEL). Deeper files are skipped with a log message.
const MAX_INCLUDE_LEVEL: usize = 5;

/// Bytes read at most, over all files: a million lines with IPv6 addresses and masks of maximum length have 160 MB.
pub(crate) const MOST: u64 = 256 << 20;
/// Minimum that each file counts as, however short, since files may include others many times over.
const LEAST: u64 = 1 << 12;

/// Whether reading continues after a file.
#[derive(PartialEq, Eq)]
enum Flow {
    On,
    End,
}

/// Reads a configuration; `None` is the absence of a file, which leaves the daemon at its built-in defaults.
///
/// # Errors
/// The file can't be read, or has a word so long that the daemon refuses to start.
pub fn read(path: Option<&Path>, daemon: Daemon) -> Result<AccessList> {
    read_noting(path, daemon, CommandLine::default(), &mut Fingerprint::default())
}

/// Like [`read`], for a daemon that was started with a command line; records in `sought` every path that was looked for,
/// even if reading fails.
///
/// # Errors
/// As for [`read`].
pub fn read_noting(
    path: Option<&Path>,
    daemon: Daemon,
    command: CommandLine,
    sought: &mut Fingerprint,
) -> Result<AccessList> {
    let mut conf = ConfFile::new(daemon, command);
    let outcome = conf.read(path);
    sought.join(std::mem::take(&mut conf.list.sought));
    outcome?;
    conf.list.sought = sought.clone();
    Ok(conf.end())
}

impl ConfFile {
    /// Reads the file, and the folder that NTPsec reads beside it.
    fn read(&mut self, path: Option<&Path>) -> Result<()> {
        let Some(path) = path else { return Ok(()) };
        // Read even after `end`, and even if there is no ntp.conf (ntp_config.c:readconfig).
        let folder = folder_beside(path, self.daemon);
        [path, &sibling(path, Path::new("ntp.d"))].into_iter().for_each(|path| self.list.sought.look(path));
        match file::read(path, MOST) {
            Err(error) if error.kind() == ErrorKind::NotFound && folder.is_some() => (),
            read => {
                let bytes = read.with_context(|| format!("can't read {}", path.display()))?;
                one(self, path.to_owned(), bytes, 0)?;
            }
        }
        if let Some(folder) = folder {
            all(self, &folder, 0)?;
        }
        Ok(())
    }
}

/// The folder that NTPsec reads beside its ntp.conf, if it exists.
pub fn folder_beside(path: &Path, daemon: Daemon) -> Option<PathBuf> {
    let folder = sibling(path, Path::new("ntp.d"));
    (daemon.is_ntpsec() && folder.is_dir()).then_some(folder)
}

/// Reads a configuration from memory; `path` is the path that it is reported under.
///
/// # Errors
/// A word so long that the daemon refuses to start, or an included file that can't be read.
pub fn parse(path: &Path, bytes: &[u8], daemon: Daemon) -> Result<AccessList> {
    let mut conf = ConfFile::new(daemon, CommandLine::default());
    one(&mut conf, path.to_owned(), bytes.to_owned(), 0)?;
    Ok(conf.end())
}

fn one(conf: &mut ConfFile, path: PathBuf, bytes: Vec<u8>, level: usize) -> Result<Flow> {
    let file = conf.list.files.len();
    if bytes.contains(&0) {
        bail!("{} is not a text file: it contains zero bytes", path.display());
    }
    // The total is far below 4 GiB, so that offsets of lines, and of the end, fit into a u32.
    conf.taken += (bytes.len() as u64).max(LEAST);
    ensure!(
        conf.taken <= MOST,
        "{} and the files before it are larger than {} MiB together, and not read any further; does a file include itself?",
        path.display(),
        MOST >> 20
    );
    conf.list.files.push(File { path: path.clone(), bytes: Vec::new() });
    let mut flow = Flow::On;
    let mut commands = Commands::new(file, &bytes);
    while let Some(line) = if conf.by_statement { commands.statement() } else { commands.line() } {
        let directive = match dispatch::read(conf, &line) {
            Directive::Simulate(word) => simulate::skip(conf, &mut commands, &line, &word, level > 0),
            other => other,
        };
        match directive {
            Directive::Done | Directive::Simulate(_) => (),
            Directive::End => flow = Flow::End,
            Directive::LongWord { at: span, bytes } => bail!(
                "{}: a word of {bytes} characters: {} refuses to start on one over {}; shorten it",
                conf.list.show(Place { file, span }),
                conf.daemon,
                conf.daemon.max_word()
            ),
            Directive::Include(word) => {
                flow = include(conf, &path, Place { file, span: word.span }, &word, level)?
            }
        }
        if flow == Flow::End {
            break;
        }
    }
    foreign::check(conf, file, &bytes);
    conf.list.files[file].bytes = bytes;
    Ok(flow)
}

/// Reads what `includefile` names in the file `from`. ntp.org's ntpd uses the path as it stands, relative to its
/// working directory, which isn't known here. NTPsec resolves it relative to the including file, and reads folders as
/// well (ntp_scanner.c:lex_push_file).
fn include(conf: &mut ConfFile, from: &Path, place: Place, word: &Word<'_>, level: usize) -> Result<Flow> {
    let named = Path::new(&*word.text);
    if level == MAX_INCLUDE_LEVEL {
        let message = "included too deep: the daemon skips it";
        let found = Diagnostic::at(Code::IncludeLost, place, message);
        conf.list.add(
            found.help(format!("files nest {MAX_INCLUDE_LEVEL} deep at most; does the file include itself?")),
        );
        return Ok(Flow::On);
    }
    let path = sibling(from, named);
    if named.is_relative() && !conf.daemon.is_ntpsec() {
        let daemon = conf.daemon;
        conf.list.blind(
            Some(place),
            format!("{daemon} takes the relative path from a working directory that only it knows"),
        );
        if !path.is_file() {
            return Ok(Flow::On);
        }
    }
    if conf.daemon.is_ntpsec() && path.is_dir() {
        return all(conf, &path, level + 1);
    }
    load(conf, path, Some(place), level + 1)
}

/// Reads a file if it exists. If it doesn't, the daemon goes on without it, too.
fn load(conf: &mut ConfFile, path: PathBuf, place: Option<Place>, level: usize) -> Result<Flow> {
    conf.list.sought.look(&path);
    match file::read(&path, MOST) {
        Ok(bytes) => return one(conf, path, bytes, level),
        // What the daemon reads from such a file, and when it is done with it, is unknown.
        Err(error) if Odd::of(&error).is_some() => {
            let from = place.map(|place| format!("{}: ", conf.list.show(place))).unwrap_or_default();
            return Err(anyhow!(error).context(format!("{from}can't read {}", path.display())));
        }
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::IsADirectory | ErrorKind::NotADirectory
            ) =>
        {
            let message =
                format!("{} can't be read ({error}): the daemon goes on without it", path.display());
            conf.list.add(Diagnostic { code: Code::IncludeLost, place, message, help: None });
        }
        Err(error) => conf.list.blind(place, format!("{} can't be read ({error})", path.display())),
    }
    Ok(Flow::On)
}

/// Reads `*.conf` in a folder, including folders of such names, last name first as NTPsec does (it pushes them onto a
/// stack in order, and pops the top; ntp_scanner.c:lex_push_file).
fn all(conf: &mut ConfFile, folder: &Path, level: usize) -> Result<Flow> {
    conf.list.sought.look(folder);
    let listed = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut paths: Vec<PathBuf> = match listed {
        Ok(paths) => paths,
        Err(error) => {
            conf.list.blind(None, format!("{} can't be read ({error})", folder.display()));
            return Ok(Flow::On);
        }
    };
    paths.sort_by(|a, b| b.cmp(a));
    for path in paths {
        if !path.as_os_str().as_encoded_bytes().ends_with(b".conf") {
            continue;
        }
        let flow = if path.is_dir() && level < MAX_INCLUDE_LEVEL {
            all(conf, &path, level + 1)?
        } else {
            load(conf, path, None, level)?
        };
        // `end` also ends the files that are still waiting.
        if flow == Flow::End {
            return Ok(flow);
        }
    }
    Ok(Flow::On)
}

/// `other`, relative to the folder that `path` is in.
fn sibling(path: &Path, other: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).join(other)
}
