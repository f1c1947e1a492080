//! The policy in force, for readers of counters: which rule each hit belongs to, and which line caused it.

use crate::{
    compile::ImageRule,
    conf::{AccessList, place::Place},
    guard::loaded_policy::LoadedPolicy,
    policy::Line,
};
use ntpguard_common::{Reason, abi::CAUSES};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// A policy in force.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct InForce {
    /// Its generation, as in [`ntpguard_common::abi::PolicyWord`].
    pub generation: u32,
    /// When it came into force, in seconds since 1970.
    pub since: u64,
    /// Which file was read, and as which daemon, in words.
    pub because: String,
    /// Its rules, in the order of their counters.
    pub rules: Vec<Rule>,
    /// The flags of each rule (bits of [`ntpguard_common::abi::Rule`]), which say what is counted for it.
    pub flags: Vec<u32>,
    /// For each rule, the generation since which it has been counted without a break. Earlier versions wrote neither this
    /// field nor the ones below.
    #[serde(default)]
    pub born: Vec<u32>,
    /// The files that contain the rules' lines.
    #[serde(default)]
    pub files: Vec<String>,
    /// For each rule, where its lines are.
    #[serde(default)]
    pub origins: Vec<Origin>,
}

/// A rule. Equal rules of two policies count as the same rule.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct Rule {
    /// The network that it applies to.
    pub net: String,
    /// Whether it applies only to packets from UDP port 123.
    pub ntpport: bool,
    /// The lines that made it, as written.
    pub lines: Vec<String>,
}

/// What isn't part of a rule's identity: a rule whose line moves within a file stays the same rule.
#[derive(Debug, Deserialize, Serialize)]
pub struct Origin {
    /// For each of its lines: the index of the file, the line number and the column.
    pub places: Box<[(u32, u32, u32)]>,
    /// For each reason that one of its lines is to blame for: the reason, and the index of that line.
    #[serde(with = "by_name")]
    pub causes: Box<[(Reason, u32)]>,
}

/// The line to blame for a drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cause<'a> {
    /// The file that contains it.
    pub file: &'a str,
    /// The line number.
    pub line: usize,
    /// The column where the statement begins.
    pub column: usize,
    /// The line as written.
    pub text: &'a str,
}

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, text } = self;
        write!(f, "{file}:{line}:{column}: {text}")
    }
}

impl fmt::Display for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        words(f, self.generation, self.rules.len(), &self.because)
    }
}

pub(super) fn words(f: &mut fmt::Formatter<'_>, generation: u32, rules: usize, because: &str) -> fmt::Result {
    write!(f, "policy {generation}: {rules} rules, {because}")
}

impl InForce {
    pub(super) fn new(
        loaded: &LoadedPolicy,
        rules: Vec<Rule>,
        born: Vec<u32>,
        generation: u32,
        since: u64,
    ) -> Self {
        let LoadedPolicy { conf, image, because, .. } = loaded;
        Self {
            generation,
            since,
            because: because.clone(),
            rules,
            flags: image.rules.iter().map(|rule| rule.rule.flags).collect(),
            born,
            files: conf.files.iter().map(|file| file.path.display().to_string()).collect(),
            origins: image.rules.iter().map(|rule| Origin::of(&rule, conf)).collect(),
        }
    }

    /// The generation since which a rule has been counted; 0 if unknown.
    pub fn born(&self, rule: usize) -> u32 {
        self.born.get(rule).copied().unwrap_or_default()
    }

    /// The line to blame for a drop by a rule; `None` if there is none (built-in rules, hardening, form), or if it is
    /// unknown.
    pub fn cause(&self, rule: usize, reason: Reason) -> Option<Cause<'_>> {
        let Origin { places, causes } = self.origins.get(rule)?;
        let at = causes.iter().find(|(of, _)| *of == reason)?.1 as usize;
        let (file, line, column) =
            places.get(at).map(|&(file, line, column)| (file as usize, line as usize, column as usize))?;
        Some(Cause { file: self.files.get(file)?, line, column, text: self.rules.get(rule)?.lines.get(at)? })
    }

    /// All lines that can cause a drop, with the reasons.
    pub fn causes(&self) -> impl Iterator<Item = (Cause<'_>, Reason)> {
        let all = (0..self.rules.len()).flat_map(|rule| CAUSES.map(|reason| (rule, reason)));
        all.filter_map(|(rule, reason)| Some((self.cause(rule, reason)?, reason)))
    }
}

impl Origin {
    fn of(rule: &ImageRule<'_>, conf: &AccessList) -> Self {
        let place = |line: &Line| {
            let Place { file, span } = conf.place(line.index);
            (file as u32, span.line as u32, span.column as u32)
        };
        let which = |cause: &Line| rule.lines.iter().position(|line| line == cause);
        let blamed = |reason: Reason| Some((reason, rule.cause(reason).and_then(which)? as u32));
        Self {
            places: rule.lines.iter().map(place).collect(),
            causes: CAUSES.into_iter().filter_map(blamed).collect(),
        }
    }
}

/// Serialises the lines to blame as a map from the names of reasons.
mod by_name {
    use super::{BTreeMap, CAUSES, Deserialize as _, Reason};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        causes: &[(Reason, u32)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(causes.iter().map(|(reason, line)| (reason.name(), line)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Box<[(Reason, u32)]>, D::Error> {
        let causes = BTreeMap::<String, u32>::deserialize(deserializer)?;
        let known = |reason: Reason| Some((reason, *causes.get(reason.name())?));
        Ok(CAUSES.into_iter().filter_map(known).collect())
    }
}

/// The rules of a loaded policy.
pub fn rules(loaded: &LoadedPolicy) -> Vec<Rule> {
    let of = |rule: ImageRule<'_>| Rule {
        net: rule.net.to_string(),
        ntpport: rule.ntpport,
        lines: rule.lines.iter().map(|line| loaded.conf.text(line.index)).collect(),
    };
    loaded.image.rules.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_version_wrote_names_no_lines() {
        let written = r#"{"generation":3,"since":7,"because":"policy from ntp.conf",
            "rules":[{"net":"192.0.2.0/24","ntpport":false,"lines":["restrict 192.0.2.0/24 ignore"]}],"flags":[1]}"#;
        let policy: InForce = serde_json::from_str(written).unwrap();
        assert_eq!((policy.cause(0, Reason::Ignore), policy.born(0)), (None, 0));
        assert_eq!(policy.to_string(), "policy 3: 1 rules, policy from ntp.conf");
    }

    #[test]
    fn the_lines_to_blame_are_written_by_the_names_of_the_reasons() {
        // As a version wrote it that had one more reason.
        let written = r#"{"places":[[0,3,1],[0,9,1]],"causes":{"noquery":0,"limited":1,"unheard-of":1}}"#;
        let origin: Origin = serde_json::from_str(written).unwrap();
        assert_eq!(*origin.causes, [(Reason::Noquery, 0), (Reason::Limited, 1)]);
        let again = serde_json::to_string(&origin).unwrap();
        assert_eq!(again, written.replace(",\"unheard-of\":1", ""));
    }
}
