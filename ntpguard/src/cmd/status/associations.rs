//! The daemon's associations, as `ntpguard status` shows them.

use crate::{
    bpf::{Learner, Learnt, Maps, Pins},
    observe::associations::{LiveAssociation, LiveAssociations},
};
use anyhow::{Context as _, Result};
use ntpguard_common::associations::Origin;
use serde_json::{Value, json};

/// The associations, and how they are learnt.
pub(super) struct Associations {
    learnt: Learnt,
    reading: LiveAssociations,
}

impl Associations {
    /// Reads them; `None` if the policy in force has no line `restrict source`.
    pub(super) fn read(pins: &Pins, maps: &Maps) -> Result<Option<Self>> {
        let Some(reading) = LiveAssociations::read(maps)? else { return Ok(None) };
        let learnt = pins.learnt().context("can't open the pin of the program that learns associations")?;
        Ok(Some(Self { learnt, reading }))
    }

    /// Lines of text. `followed`: a process looks after the filter.
    pub(super) fn text(&self, followed: bool) -> Vec<String> {
        let LiveAssociations { open, live, unknown, full, list } = &self.reading;
        let how = match self.learnt {
            Learnt::No => "associations aren't learnt",
            Learnt::By(Some(Learner::ByNamespace)) => {
                "associations are learnt from what this network namespace sends"
            }
            Learnt::By(Some(Learner::ByAddress)) => {
                "associations are learnt from what this host's addresses send"
            }
            Learnt::By(None) => "associations are learnt, and this user may not see how",
        };
        let mut lines = vec![format!("{how}: {} live", list.len())];
        match open {
            Some(0) => (),
            Some(seconds) => lines.push(format!("for {seconds} s more, any address may be one")),
            None => lines.push("any address may be one, since they can't all be known".to_owned()),
        }
        if !followed {
            lines.push("no association ends until `ntpguard run` looks after it".to_owned());
        }
        lines.extend(list.iter().map(row));
        lines.push(format!(
            "{live} packets came from associations, {unknown} from addresses that may be one; {full} that left found no place"
        ));
        lines
    }

    pub(super) fn json(&self) -> Value {
        let LiveAssociations { open, live, unknown, full, list } = &self.reading;
        json!({
            "learning": match self.learnt {
                Learnt::No => None,
                Learnt::By(Some(Learner::ByNamespace)) => Some("namespace"),
                Learnt::By(Some(Learner::ByAddress)) => Some("address"),
                Learnt::By(None) => Some("unknown"),
            },
            "open_seconds": open,
            "live_packets": live,
            "unknown_packets": unknown,
            "full": full,
            "list": list.iter().map(object).collect::<Vec<_>>(),
        })
    }
}

fn row(association: &LiveAssociation) -> String {
    let LiveAssociation { address, port, poll, last, origin, .. } = association;
    let poll = poll.map_or_else(|| "poll unknown".to_owned(), |seconds| format!("poll {seconds} s"));
    let words = origin_in_words(*origin);
    // Nothing may have left for one that the configuration names.
    let read = if *origin == Origin::Configuration { ", read" } else { "" };
    format!("  {address} port {port}, {poll}: {words}{read} {last} s ago")
}

fn object(association: &LiveAssociation) -> Value {
    let LiveAssociation { address, port, poll, last, ends_in, origin } = association;
    json!({ "address": address, "port": port, "poll": poll, "last_seconds_ago": last, "ends_in_seconds": ends_in,
        "origin": origin_in_words(*origin) })
}

const fn origin_in_words(origin: Origin) -> &'static str {
    match origin {
        // No such entry is the daemon's, so none is in the list.
        Origin::Other => "another program's",
        Origin::Departure => "sent to",
        Origin::Configuration => "named in the configuration",
        Origin::Daemon => "listed by the daemon",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn associations(learnt: Learnt, open: Option<u64>) -> Associations {
        let of = |last: u8, poll, origin| LiveAssociation {
            address: [198, 51, 100, last].into(),
            port: 123,
            poll,
            last: 12,
            ends_in: 116,
            origin,
        };
        let list = vec![
            of(5, Some(64), Origin::Departure),
            of(6, None, Origin::Configuration),
            of(7, Some(1024), Origin::Daemon),
        ];
        let reading = LiveAssociations { open, live: 8, unknown: 3, full: 1, list };
        Associations { learnt, reading }
    }

    #[test]
    fn people_read_who_they_are_and_how_that_is_known() {
        let rows = [
            "  198.51.100.5 port 123, poll 64 s: sent to 12 s ago",
            "  198.51.100.6 port 123, poll unknown: named in the configuration, read 12 s ago",
            "  198.51.100.7 port 123, poll 1024 s: listed by the daemon 12 s ago",
            "8 packets came from associations, 3 from addresses that may be one; 1 that left found no place",
        ];
        let all = associations(Learnt::By(Some(Learner::ByNamespace)), Some(0)).text(true);
        assert_eq!(all[0], "associations are learnt from what this network namespace sends: 3 live");
        assert_eq!(all[1..], rows);
        let opened = associations(Learnt::By(Some(Learner::ByAddress)), Some(70)).text(false);
        let head = [
            "associations are learnt from what this host's addresses send: 3 live",
            "for 70 s more, any address may be one",
            "no association ends until `ntpguard run` looks after it",
        ];
        assert_eq!(
            (&opened[..3], &opened[3..]),
            (&head.map(str::to_owned)[..], &rows.map(str::to_owned)[..])
        );
        let not = associations(Learnt::No, None).text(true);
        assert_eq!(not[0], "associations aren't learnt: 3 live");
        assert_eq!(not[1], "any address may be one, since they can't all be known");
    }

    #[test]
    fn programs_get_numbers_and_words() {
        let object = associations(Learnt::By(Some(Learner::ByAddress)), None).json();
        assert_eq!((&object["learning"], &object["open_seconds"]), (&json!("address"), &Value::Null));
        assert_eq!(
            (&object["live_packets"], &object["unknown_packets"], &object["full"]),
            (&8.into(), &3.into(), &1.into())
        );
        let first = json!({ "address": "198.51.100.5", "port": 123, "poll": 64, "last_seconds_ago": 12,
            "ends_in_seconds": 116, "origin": "sent to" });
        assert_eq!((&object["list"][0], &object["list"][1]["poll"]), (&first, &Value::Null));
    }
}
