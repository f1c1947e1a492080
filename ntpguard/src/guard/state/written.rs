//! The form of `state.json`: a version, the summary, and then the whole state.
//!
//! The version decides who can read the rest, so it stands first. If this program can't read that version, nothing after it
//! is read.

use super::{State, Summary, file};
use crate::host::{self, access::Readers, atomic_file};
use anyhow::{Context as _, Result};
use serde::{
    Deserializer as _, Serialize,
    de::{IgnoredAny, MapAccess, Visitor},
};
use std::{
    error::Error,
    fmt,
    fs::File,
    io::{BufReader, ErrorKind, Read, Seek as _},
    path::{Path, PathBuf},
};

/// The version that is written. A state without a version is from the release before versions, and is also read.
pub(super) const VERSION: u32 = 1;

/// The names of the first two fields.
const VERSION_NAME: &str = "version";
const SUMMARY_NAME: &str = "summary";

/// The file's content.
#[derive(Serialize)]
pub(super) struct Written<'a> {
    version: u32,
    summary: Summary,
    #[serde(flatten)]
    state: &'a State,
}

impl<'a> Written<'a> {
    pub(super) fn of(state: &'a State) -> Self {
        Self { version: VERSION, summary: Summary::of(state), state }
    }
}

/// Why an existing state can't be used by this program.
#[derive(Debug)]
pub struct Unreadable {
    path: PathBuf,
    why: Why,
}

#[derive(Debug)]
enum Why {
    /// A later ntpguard wrote it, in this version.
    Later(u32),
    /// No version of ntpguard wrote it.
    Garbled(serde_json::Error),
}

impl Unreadable {
    /// Whether this is the error, rather than that the file can't be opened.
    pub fn is(error: &anyhow::Error) -> bool {
        error.is::<Self>()
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.why {
            Why::Later(version) => write!(
                f,
                "{path} is of version {version}, which a later ntpguard wrote, and this one reads versions up to {VERSION}"
            ),
            Why::Garbled(error) => write!(f, "{path} isn't a state of ntpguard's: {error}"),
        }
    }
}

impl Error for Unreadable {}

impl State {
    /// Saves the state atomically: a concurrent reader sees the previous one.
    ///
    /// # Errors
    /// The folder can't be created or written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        atomic_file::write(&file(folder), &Written::of(self), &Readers { group: self.group })
    }

    /// Loads the state; `None` if there is no file.
    ///
    /// # Errors
    /// The file can't be read, or is [`Unreadable`].
    pub fn load(folder: &Path) -> Result<Option<Self>> {
        let Some((mut file, _)) = open(folder)? else { return Ok(None) };
        file.rewind()?;
        let path = super::file(folder);
        match serde_json::from_reader(BufReader::new(file)) {
            Ok(state) => Ok(Some(state)),
            Err(error) if error.is_io() => {
                Err(error).with_context(|| format!("can't read {}", path.display()))
            }
            Err(error) => Err(Unreadable { path, why: Why::Garbled(error) }.into()),
        }
    }
}

impl Summary {
    /// Loads the summary; from the whole state if an earlier version wrote the file.
    ///
    /// # Errors
    /// Those of [`State::load`].
    pub fn load(folder: &Path) -> Result<Option<Self>> {
        let Some((_, summary)) = open(folder)? else { return Ok(None) };
        match summary {
            Some(summary) => Ok(Some(summary)),
            None => Ok(State::load(folder)?.as_ref().map(Self::of)),
        }
    }
}

/// Opens the file, and reads the summary at its beginning if it has one.
fn open(folder: &Path) -> Result<Option<(File, Option<Summary>)>> {
    let path = file(folder);
    let file = match host::file::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("can't read {}", path.display())),
    };
    let Head { version, summary } = head(BufReader::new(&file));
    if version > VERSION {
        return Err(Unreadable { path, why: Why::Later(version) }.into());
    }
    Ok(Some((file, summary)))
}

/// The beginning of a file.
#[derive(Default)]
pub(super) struct Head {
    pub(super) version: u32,
    pub(super) summary: Option<Summary>,
}

/// Reads the beginning of a file: nothing after the summary is read, and nothing after a version later than this program's.
pub(super) fn head(file: impl Read) -> Head {
    struct First<'a>(&'a mut Head);
    impl<'de> Visitor<'de> for First<'_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a state")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            let mut name = map.next_key::<String>()?;
            if name.as_deref() == Some(VERSION_NAME) {
                self.0.version = map.next_value()?;
                if self.0.version > VERSION {
                    return Ok(());
                }
                name = map.next_key()?;
            }
            match name.as_deref() {
                Some(SUMMARY_NAME) => self.0.summary = Some(map.next_value()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
            Ok(())
        }
    }
    let mut head = Head::default();
    // The map goes on after the summary, which the deserializer reports as an error; that is intended here.
    let _ = serde_json::Deserializer::from_reader(file).deserialize_map(First(&mut head));
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Loads a file with this text.
    fn loaded(text: &str) -> Result<Option<State>> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(file(folder.path()), text).unwrap();
        let (state, summary) = (State::load(folder.path()), Summary::load(folder.path()));
        // The state and the summary give the same error.
        let said = |error: &anyhow::Error| format!("{error:#}");
        assert_eq!(state.as_ref().err().map(said), summary.as_ref().err().map(said));
        state
    }

    #[test]
    fn what_a_later_ntpguard_wrote_is_told_by_its_version() {
        // The first could be read, but may mean something else; the second has another form altogether.
        let alike = include_str!("unversioned.json").replacen('{', r#"{"version":2,"#, 1);
        for text in [&alike, r#"{"version":2,"summary":[],"x"#] {
            let error = loaded(text).unwrap_err();
            assert!(Unreadable::is(&error) && error.to_string().contains("is of version 2"), "{error:#}");
        }
    }

    #[test]
    fn what_is_no_state_is_told_from_what_cannot_be_opened() {
        for text in ["", "{", "[]", "7", r#"{"version":1,"summary":{}}"#, r#"{"version":"one"}"#] {
            let error = loaded(text).unwrap_err();
            assert!(
                Unreadable::is(&error) && error.to_string().contains("isn't a state"),
                "{text}: {error:#}"
            );
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(file(folder.path())).unwrap();
        assert!(!Unreadable::is(&State::load(folder.path()).unwrap_err()));
    }

    #[test]
    fn what_is_written_begins_with_its_version() {
        let state: State = serde_json::from_str(include_str!("unversioned.json")).unwrap();
        let written = serde_json::to_string(&Written::of(&state)).unwrap();
        assert!(written.starts_with(r#"{"version":1,"summary":{"#), "{written}");
        assert_eq!(loaded(&written).unwrap().unwrap().options, state.options);
    }
}
