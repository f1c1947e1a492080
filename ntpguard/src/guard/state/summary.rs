//! The few fields of the state that most commands need. They stand at the beginning of the file, so that nobody has to read
//! a million rules for them.
//!
//! They are in the same file as the state, so that the summary always belongs to that state.

use super::{Card, Failure, State, in_force};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

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
    /// Its generation.
    pub generation: u32,
    /// When it came into force, in seconds since 1970.
    pub since: u64,
    /// Which file was read, and as which daemon, in words.
    pub because: String,
    /// How many rules it has.
    pub rules: usize,
    /// The files that contain the rules' lines.
    pub files: Vec<String>,
}

impl fmt::Display for PolicySummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        in_force::words(f, self.generation, self.rules, &self.because)
    }
}

impl Summary {
    pub(super) fn of(state: &State) -> Self {
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

    /// The policy, if it has this generation, as with [`State::known`].
    pub fn known(&self, generation: u32) -> Option<&PolicySummary> {
        self.policy.as_ref().filter(|policy| policy.generation == generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::state::{
        InForce, Rule, file,
        written::{Written, head},
    };
    use std::io::{self, Read};

    /// A state whose policy has this number of rules.
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

    /// A reader that fails after this number of bytes.
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
        let written = serde_json::to_vec(&Written::of(&state)).unwrap();
        assert!(written.len() > 1 << 20);
        let summary = head(Short(4096, io::Cursor::new(written.clone()))).summary.unwrap();
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
