//! What a query asks for, as one of a bounded number of kinds: queries with random request codes don't add kinds.

use crate::observe::event;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;

/// The suffix of a query that passed in a trial.
const TRIAL: &str = " (trial)";

/// A mode, and what is asked for if that has a name ([`event::requests`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Query {
    /// 6 or 7.
    pub mode: u8,
    /// The request's name, such as `readvar` or `monlist`.
    pub request: Option<&'static str>,
    /// Whether it passed in a trial.
    pub trial: bool,
}

impl Query {
    /// The kind of an event's query.
    pub fn of(mode: u8, request: Option<&str>) -> Self {
        let named = |request| event::requests(mode).find(|name| *name == request);
        Self { mode, request: request.and_then(named), trial: false }
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trial = if self.trial { TRIAL } else { "" };
        write!(f, "mode {} {}{trial}", self.mode, self.request.unwrap_or("other"))
    }
}

impl Serialize for Query {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Query {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed = text.strip_prefix("mode ").and_then(|text| {
            let (mode, request) = text.split_once(' ')?;
            let mode = mode.parse().ok().filter(|mode| matches!(mode, 6 | 7))?;
            let named = request.strip_suffix(TRIAL);
            Some(Self { trial: named.is_some(), ..Self::of(mode, Some(named.unwrap_or(request))) })
        });
        parsed.ok_or_else(|| D::Error::custom(format!("`{text}` is no query")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_requests_are_one() {
        let text = |mode, request| Query::of(mode, request).to_string();
        assert_eq!(text(7, Some("monlist")), "mode 7 monlist");
        assert_eq!(text(6, Some("readvar")), "mode 6 readvar");
        for other in [Some("monlist"), Some("request 31"), None] {
            assert_eq!(text(6, other), "mode 6 other");
        }
        let monlist = Query::of(7, Some("monlist"));
        for query in [monlist, Query { trial: true, ..monlist }, Query::of(6, None)] {
            let written = serde_json::to_string(&query).unwrap();
            assert_eq!(serde_json::from_str::<Query>(&written).unwrap(), query);
        }
        assert!(serde_json::from_str::<Query>("\"mode 3 other\"").is_err());
    }
}
