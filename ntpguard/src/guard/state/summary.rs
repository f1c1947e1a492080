//! What most commands ask of the state: a few fields, at the beginning of the file, so that nobody reads a million rules for them.
//!
//! One file and not two, so that the summary is always that of the state behind it.

use super::{Card, Failure, State, file, in_force};
use crate::host::{self, access::Readers, atomic_file};
use anyhow::{Context as _, Result};
use serde::{
    Deserialize, Deserializer as _, Serialize,
    de::{IgnoredAny, MapAccess, Visitor},
};
use std::{
    collections::BTreeMap,
    fmt,
    io::{BufReader, ErrorKind, Read},
    path::Path,
};

/// The name of the file's first field.
const NAME: &str = "summary";

/// The state without rules, names and options.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Summary {
    /// The policy in force.
    pub policy: Option<PolicySummary>,
    /// [`State::namespace`].
    pub namespace: Option<u64>,
    /// [`State::cards`].
    pub cards: BTreeMap<u32, Card>,
    /// [`State::failure`].
    pub failure: Option<Failure>,
    /// [`State::attempts`].
    pub attempts: u64,
    /// [`State::run`].
    pub run: Option<i32>,
    /// [`State::group`].
    pub group: Option<u32>,
}

/// A policy without its rules.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct PolicySummary {
    /// Its number.
    pub generation: u32,
    /// When it came into force: seconds since 1970.
    pub since: u64,
    /// Which file, and whose reading of it.
    pub because: String,
    /// How many rules it has.
    pub rules: usize,
    /// The files that their lines stand in.
    pub files: Vec<String>,
}

impl fmt::Display for PolicySummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        in_force::words(f, self.generation, self.rules, &self.because)
    }
}

/// The file: the summary, and then all of the state.
#[derive(Serialize)]
pub(super) struct File<'a> {
    summary: Summary,
    #[serde(flatten)]
    state: &'a State,
}

impl<'a> File<'a> {
    pub(super) fn of(state: &'a State) -> Self {
        Self { summary: Summary::of(state), state }
    }
}

impl State {
    /// Keeps it. Whoever reads meanwhile sees the one before.
    ///
    /// # Errors
    /// The folder can't be made or written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        atomic_file::write(&file(folder), &File::of(self), &Readers { group: self.group })
    }
}

impl Summary {
    fn of(state: &State) -> Self {
        let policy = state.policy.as_ref().map(|policy| PolicySummary {
            generation: policy.generation,
            since: policy.since,
            because: policy.because.clone(),
            rules: policy.rules.len(),
            files: policy.files.clone(),
        });
        let State { namespace, attempts, run, group, .. } = *state;
        let (cards, failure) = (state.cards.clone(), state.failure.clone());
        Self { policy, namespace, cards, failure, attempts, run, group }
    }

    /// Reads it; of a file that an earlier version wrote, from all of the state.
    ///
    /// # Errors
    /// As [`State::load`].
    pub fn load(folder: &Path) -> Result<Option<Self>> {
        let path = file(folder);
        let file = match host::file::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("can't read {}", path.display())),
        };
        match first(BufReader::new(file)) {
            Some(summary) => Ok(Some(summary)),
            None => Ok(State::load(folder)?.as_ref().map(Self::of)),
        }
    }

    /// The policy of a number, as [`State::known`].
    pub fn known(&self, generation: u32) -> Option<&PolicySummary> {
        self.policy.as_ref().filter(|policy| policy.generation == generation)
    }
}

/// The summary at the beginning of a file; nothing behind it is read.
fn first(file: impl Read) -> Option<Summary> {
    struct First<'a>(&'a mut Option<Summary>);
    impl<'de> Visitor<'de> for First<'_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a state")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            match map.next_key::<String>()?.as_deref() {
                Some(NAME) => *self.0 = Some(map.next_value()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
            Ok(())
        }
    }
    let mut summary = None;
    // That the map goes on behind the first field is an error to the deserializer, and what is meant here.
    let _ = serde_json::Deserializer::from_reader(file).deserialize_map(First(&mut summary));
    summary
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::state::{InForce, Rule};
    use std::io;

    /// With so many rules.
    fn state(rules: usize) -> State {
        let written: State = serde_json::from_str(include_str!("unversioned.json")).unwrap();
        let rule = |net: usize| Rule { net: net.to_string(), ntpport: false, lines: vec!["a".to_owned()] };
        let policy = InForce {
            generation: 3,
            because: "policy from ntp.conf".to_owned(),
            rules: (0..rules).map(rule).collect(),
            ..InForce::default()
        };
        let mut state = State::new(written.options);
        state.policy = Some(policy);
        (state.attempts, state.run) = (7, Some(42));
        state.fail("no".to_owned());
        state
    }

    /// Gives so many bytes, and no more.
    struct Short(usize, io::Cursor<Vec<u8>>);

    impl Read for Short {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = buffer.len().min(4096);
            let read = self.1.read(&mut buffer[..most])?;
            self.0 = self.0.checked_sub(read).ok_or(io::ErrorKind::Other)?;
            Ok(read)
        }
    }

    #[test]
    fn nothing_behind_the_summary_is_read() {
        let state = state(100_000);
        let written = serde_json::to_vec(&File::of(&state)).unwrap();
        assert!(written.len() > 1 << 20);
        let summary = first(Short(4096, io::Cursor::new(written.clone()))).unwrap();
        assert_eq!(summary, Summary::of(&state));
        assert_eq!(summary.known(3).unwrap().to_string(), state.known(3).unwrap().to_string());
        assert_eq!((summary.known(4), summary.attempts, summary.run), (None, 7, Some(42)));
        let whole: State = serde_json::from_slice(&written).unwrap();
        assert_eq!(Summary::of(&whole), summary);
    }

    #[test]
    fn of_what_an_earlier_version_wrote_all_is_read() {
        let (folder, state) = (tempfile::tempdir().unwrap(), state(3));
        assert_eq!(Summary::load(folder.path()).unwrap(), None);
        std::fs::write(file(folder.path()), serde_json::to_vec(&state).unwrap()).unwrap();
        assert_eq!(Summary::load(folder.path()).unwrap(), Some(Summary::of(&state)));
        state.save(folder.path()).unwrap();
        assert_eq!(Summary::load(folder.path()).unwrap(), Some(Summary::of(&state)));
        std::fs::write(file(folder.path()), b"{\"summary\":{}}").unwrap();
        assert!(Summary::load(folder.path()).is_err());
    }
}
