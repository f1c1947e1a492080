//! Reads the guard's options from states without a version: that release wrote them as they were typed.

use crate::guard::options::Guarding;
use serde::{Deserialize as _, Deserializer, de::Error as _};
use serde_json::{Map, Value, json};

/// Reads the options that any release wrote.
pub(super) fn options<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Guarding, D::Error> {
    let mut options = Value::deserialize(deserializer)?;
    if let Some(hardened) = part(&mut options, "hardened")
        && hardened.remove("no_hardening") == Some(Value::Bool(true))
    {
        hardened.insert("queries".to_owned(), json!("restrict"));
        hardened.insert("harden".to_owned(), json!([]));
    }
    if let Some(limiting) = part(&mut options, "limiting")
        && let Some(lengths) = limiting.remove("aggregate")
    {
        let lengths: Vec<_> = lengths.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let last = |known: &[&str]| lengths.iter().rev().find(|length| known.contains(length))?.parse().ok();
        limiting.insert("prefix_v4".to_owned(), json!(last(&["24"]).unwrap_or(32_u8)));
        limiting.insert("prefix_v6".to_owned(), json!(last(&["56", "64"]).unwrap_or(128_u8)));
    }
    serde_json::from_value(options).map_err(D::Error::custom)
}

fn part<'a>(options: &'a mut Value, name: &str) -> Option<&'a mut Map<String, Value>> {
    options.get_mut(name)?.as_object_mut()
}

#[cfg(test)]
mod tests {
    use crate::{
        guard::state::{State, Summary},
        policy::{hardening::Hardening, limiter::Bounds},
    };

    /// The state as the last release without versions wrote it; it has fewer of the card's features.
    const WRITTEN: &str = include_str!("unversioned.json");

    #[test]
    fn what_the_last_release_wrote_is_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(super::super::file(folder.path()), WRITTEN).unwrap();
        let state = State::load(folder.path()).unwrap().unwrap();
        let options = &state.options;
        assert_eq!(options.interface, ["lan0"]);
        assert_eq!(options.hardened.hardening(), Hardening::NONE);
        let bounds = Bounds { max_rate: Some(5000), kisses: Some(100), prefix_v4: 24, prefix_v6: 64 };
        assert_eq!(options.limiting.bounds(true), bounds);
        assert!(options.monitor && options.yes && options.reading.dialect.is_some());
        assert_eq!(state.known(1).unwrap().rules.len(), 4);
        assert_eq!(state.cards[&3].name, "lan0");
        // It reads back the same after it was written by this version.
        let summary = Summary::load(folder.path()).unwrap().unwrap();
        state.save(folder.path()).unwrap();
        let again = State::load(folder.path()).unwrap().unwrap();
        assert_eq!((&again.options, again.cards), (options, state.cards));
        assert_eq!(Summary::load(folder.path()).unwrap().unwrap(), summary);
    }

    #[test]
    fn options_that_are_none_are_an_error() {
        let garbled = WRITTEN.replace("\"hardened\":{", "\"hardened\":7,\"other\":{");
        assert_ne!(garbled, WRITTEN);
        assert!(serde_json::from_str::<State>(&garbled).is_err());
    }
}
