//! `state.json` as it is written: its version, the summary, and then all of the state.
//!
//! The version says who can read the rest, so it stands first, and nothing behind it is looked at where this program can't.

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

/// The version that is written. What has none is of the release before versions, and is read as well.
pub(super) const VERSION: u32 = 1;

/// The names of the first fields.
const VERSION_NAME: &str = "version";
const SUMMARY_NAME: &str = "summary";

/// The file.
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

/// Why a state that is there says nothing to this program.
#[derive(Debug)]
pub struct Unreadable {
    path: PathBuf,
    why: Why,
}

#[derive(Debug)]
enum Why {
    /// A later ntpguard wrote this version.
    Later(u32),
    /// It isn't what any ntpguard writes.
    Garbled(serde_json::Error),
}

impl Unreadable {
    /// Whether that is what went wrong, and not that the file can't be opened.
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
    /// Keeps it. Whoever reads meanwhile sees the one before.
    ///
    /// # Errors
    /// The folder can't be made or written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        atomic_file::write(&file(folder), &Written::of(self), &Readers { group: self.group })
    }

    /// Reads what was kept.
    ///
    /// # Errors
    /// It can't be read, or is [`Unreadable`]. That it isn't there is none.
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
    /// Reads it; of a file that an earlier version wrote, from all of the state.
    ///
    /// # Errors
    /// As [`State::load`].
    pub fn load(folder: &Path) -> Result<Option<Self>> {
        let Some((_, summary)) = open(folder)? else { return Ok(None) };
        match summary {
            Some(summary) => Ok(Some(summary)),
            None => Ok(State::load(folder)?.as_ref().map(Self::of)),
        }
    }
}

/// The file, with the summary at its beginning if it has one.
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

/// What a file begins with.
#[derive(Default)]
pub(super) struct Head {
    pub(super) version: u32,
    pub(super) summary: Option<Summary>,
}

/// The beginning of a file; nothing behind the summary is read, nor behind a later version.
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
    // That the map goes on behind this is an error to the deserializer, and what is meant here.
    let _ = serde_json::Deserializer::from_reader(file).deserialize_map(First(&mut head));
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a file.
    fn loaded(text: &str) -> Result<Option<State>> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(file(folder.path()), text).unwrap();
        let (state, summary) = (State::load(folder.path()), Summary::load(folder.path()));
        // Both say the same of it.
        let said = |error: &anyhow::Error| format!("{error:#}");
        assert_eq!(state.as_ref().err().map(said), summary.as_ref().err().map(said));
        state
    }

    #[test]
    fn what_a_later_ntpguard_wrote_is_told_by_its_version() {
        // One that could be read may mean something else; another has another form altogether.
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
