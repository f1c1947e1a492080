//! What `ntpguard report` prints (docs/src/reference/report.md): the victims of floods, by network.
//!
//! Contract: nothing is stated that isn't known. Addresses are given as they arrived, and networks are cut by length (/24,
//! /48), not by owner.

use crate::observe::{
    estimate::Estimate,
    history::{Query, Source, Summary},
};
use humantime::format_rfc3339_seconds;
use indicatif::HumanCount;
use ipnet::IpNet;
use serde_json::{Value, json};
use std::{
    cmp::Reverse,
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, UNIX_EPOCH},
};

/// The maximum number of addresses listed for a network: the report is for the network's operator, who needs examples.
const ADDRESSES: usize = 10;
/// The prefix lengths of a network: usually the longest that are announced on their own.
const LENGTHS: (u8, u8) = (24, 48);

/// A summary by network.
pub struct Abuse<'a> {
    summary: &'a Summary,
    networks: Vec<Network<'a>>,
    /// How many networks aren't listed, and what was seen of them.
    more: (usize, Estimate),
}

/// The victims in one network.
struct Network<'a> {
    net: IpNet,
    seen: Estimate,
    missed: u64,
    queries: Vec<(Query, u64)>,
    /// The addresses, those with most packets first.
    sources: Vec<&'a Source>,
}

impl<'a> Abuse<'a> {
    /// Groups the sources by network, and lists at most `most` networks.
    pub fn new(summary: &'a Summary, most: usize) -> Self {
        let mut all: BTreeMap<IpNet, Vec<&Source>> = BTreeMap::new();
        for source in &summary.sources {
            all.entry(network(source.address)).or_default().push(source);
        }
        let mut networks: Vec<_> = all.into_iter().map(Network::of).collect();
        networks.sort_by_key(|network| Reverse(network.seen.packets));
        let rest = networks.split_off(networks.len().min(most));
        let more = (rest.len(), rest.iter().map(|network| network.seen).sum());
        Self { summary, networks, more }
    }

    /// The report as text, to be forwarded.
    pub fn text(&self) -> String {
        let Self { summary, networks, more: (more, rest) } = self;
        let Summary { from, until, total, others, floor, .. } = summary;
        let mut text = format!(
            "NTP queries (mode 6 and 7) dropped{} from {} to {}: {}\n",
            if others.passed.samples > 0 { ", or passed in a trial," } else { "" },
            time(*from),
            time(*until),
            amount(total)
        );
        if !networks.is_empty() {
            text += ABOUT;
        }
        for Network { net, seen, missed, queries, sources } in networks {
            let queries: Vec<_> =
                queries.iter().map(|(query, packets)| format!("{query} {}", HumanCount(*packets))).collect();
            text += &format!("\n{net}: {}{}\n", amount(seen), besides(*missed));
            text += &format!("  from {} to {}; {}\n", time(seen.first), time(seen.last), queries.join(", "));
            for Source { address, seen, missed, .. } in sources.iter().take(ADDRESSES) {
                text += &format!("  {address:<39} {}{}\n", packets(seen), besides(*missed));
            }
            match sources.len().saturating_sub(ADDRESSES) {
                0 => (),
                more => text += &format!("  and {more} more\n"),
            }
        }
        if *more > 0 {
            let networks = if *more == 1 { "network" } else { "networks" };
            text += &format!("\n{more} more {networks} (--networks shows more): {}\n", amount(rest));
        }
        let listed: Estimate = summary.sources.iter().map(|source| source.seen).sum();
        if *floor > 0 {
            text += &format!(
                "\nthere were more sources than are kept: {} packets of the total are counted for none of these, and any \
                 source that isn't here had {} at most\n",
                HumanCount(total.packets.saturating_sub(listed.packets)),
                HumanCount(*floor)
            );
        }
        for (seen, what) in [
            (
                &others.responses,
                "responses: somebody asks the servers that they came from in this host's name, who is the victim of that",
            ),
            (&others.nobodys, "queries whose source was hidden or can't be anybody's"),
        ] {
            if seen.samples > 0 {
                text += &format!("\nbesides, {} were {what}\n", amount(seen));
            }
        }
        if others.passed.samples > 0 {
            let passed = amount(&others.passed);
            text += &format!(
                "\nof all these, {passed} weren't dropped, but passed in a trial: the daemon may have answered\n"
            );
        }
        text.truncate(text.trim_end().len());
        text
    }

    /// The report as a JSON object, at the time `now` (seconds since 1970). Fields are added; renaming one requires another
    /// version.
    pub fn json(&self, now: u64) -> Value {
        let Self { summary, networks, more: (more, rest) } = self;
        let Summary { from, until, total, others, floor, sources } = summary;
        let networks: Vec<_> = networks
            .iter()
            .map(|Network { net, seen, missed, queries, sources }| {
                let mut object = sum(seen);
                object["network"] = net.to_string().into();
                object["missed"] = (*missed).into();
                let query = |(Query { mode, request, trial }, packets): &(Query, u64)| {
                    json!({ "mode": mode, "request": request, "trial": trial, "packets": packets })
                };
                object["queries"] = queries.iter().map(query).collect();
                let source = |Source { address, seen, missed, .. }: &&Source| {
                    let mut object = sum(seen);
                    object["address"] = address.to_string().into();
                    object["missed"] = (*missed).into();
                    object
                };
                object["addresses"] = sources.iter().take(ADDRESSES).map(source).collect();
                object["more_addresses"] = sources.len().saturating_sub(ADDRESSES).into();
                object
            })
            .collect();
        json!({
            "version": 1,
            "event": "report",
            "time": time(now),
            "from": time(*from),
            "until": time(*until),
            "total": sum(total),
            "sources": sources.len(),
            "networks": networks,
            "more_networks": more,
            "more": sum(rest),
            "floor": floor,
            "responses": sum(&others.responses),
            "nobodys": sum(&others.nobodys),
            "passed": sum(&others.passed),
        })
    }
}

impl<'a> Network<'a> {
    fn of((net, sources): (IpNet, Vec<&'a Source>)) -> Self {
        let mut queries: BTreeMap<Query, u64> = BTreeMap::new();
        for (query, packets) in sources.iter().flat_map(|source| &source.queries) {
            let sum = queries.entry(*query).or_default();
            *sum = sum.saturating_add(*packets);
        }
        let mut queries: Vec<_> = queries.into_iter().collect();
        queries.sort_by_key(|(_, packets)| Reverse(*packets));
        let missed = sources.iter().fold(0, |sum: u64, source| sum.saturating_add(source.missed));
        Self { net, seen: sources.iter().map(|source| source.seen).sum(), missed, queries, sources }
    }
}

/// What a recipient must know.
const ABOUT: &str = "
The addresses below were the sources of these packets, and in floods of such queries they are forged: they are those of the victims, at
whom the answers, many times as large, were aimed. They attack nobody, and should not be blocked. What this server
dropped it didn't answer; other servers may have answered. Whoever looks after a network below may want to know. An
address with few packets may be that of somebody who asked (ntpq, a scanner). Numbers with ~ are estimates from samples, with their
standard error; times are UTC.
";

fn network(address: IpAddr) -> IpNet {
    let length = if address.is_ipv4() { LENGTHS.0 } else { LENGTHS.1 };
    IpNet::new(address, length).expect("shorter than an address").trunc()
}

/// The time as in RFC 3339. A time after the year 9999 becomes the last one of that year.
fn time(seconds: u64) -> String {
    /// 9999-12-31T23:59:59Z.
    const LAST: u64 = 253_402_300_799;
    format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds.min(LAST))).to_string()
}

fn amount(seen: &Estimate) -> String {
    let about = if seen.error() < 0.5 { "" } else { "~" };
    format!("{}, {about}{} bytes", packets(seen), HumanCount(seen.bytes))
}

fn packets(seen: &Estimate) -> String {
    format!("{seen} packet{}", if seen.packets == 1 { "" } else { "s" })
}

fn besides(missed: u64) -> String {
    if missed == 0 { String::new() } else { format!(" or up to {} more", HumanCount(missed)) }
}

/// An estimate as an object.
fn sum(seen: &Estimate) -> Value {
    let Estimate { packets, bytes, samples, variance: _, first, last } = seen;
    let some = |seconds: &u64| (*samples > 0).then(|| time(*seconds));
    json!({ "packets": packets, "error": seen.error().round(), "bytes": bytes, "samples": samples,
        "first": some(first), "last": some(last) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::history::{History, tests::query};
    use ntpguard_common::Reason;

    /// 2023-11-14T22:15:00Z.
    const START: u64 = 1_700_000_100;

    fn history() -> History {
        let mut history = History::new(START - 60);
        for host in 1..=12 {
            (0..host).for_each(|at| history.add(&query(START + at, &format!("198.51.100.{host}"), 8)));
        }
        (0..100).for_each(|at| history.add(&query(START + at, "2001:db8:1:2::7", 1)));
        history.add(&query(START + 7, "2001:db8:2::7", 1));
        history
    }

    fn summary(history: &History) -> Summary {
        history.since(Duration::from_secs(3600), START + 200)
    }

    #[test]
    fn networks_with_their_victims() {
        let summary = summary(&history());
        let text = Abuse::new(&summary, 2).text();
        let (head, rest) = text.split_once("\n\n").unwrap();
        assert_eq!(
            head,
            "NTP queries (mode 6 and 7) dropped from 2023-11-14T22:14:00Z to 2023-11-14T22:18:20Z: ~725 ± 66 packets, \
             ~36,250 bytes"
        );
        let (about, rest) = rest.split_once("\n\n").unwrap();
        assert!(about.contains("those of the victims"));
        let blocks: Vec<_> = rest.split("\n\n").collect();
        let lines: Vec<_> = blocks[0].lines().collect();
        assert_eq!(lines[0], "198.51.100.0/24: ~624 ± 66 packets, ~31,200 bytes");
        assert_eq!(lines[1], "  from 2023-11-14T22:15:00Z to 2023-11-14T22:15:11Z; mode 7 monlist 624");
        assert_eq!(
            lines[2].split_whitespace().collect::<Vec<_>>(),
            ["198.51.100.12", "~96", "±", "26", "packets"]
        );
        assert_eq!((lines.len(), lines[12]), (13, "  and 2 more"));
        assert!(blocks[1].starts_with("2001:db8:1::/48: 100 packets, 5,000 bytes\n"), "{}", blocks[1]);
        assert_eq!(blocks[2..], ["1 more network (--networks shows more): 1 packet, 50 bytes"]);
    }

    #[test]
    fn what_isnt_a_victims_is_said_beside() {
        let mut history = history();
        let one = query(START, "192.0.2.1", 3);
        history.add(&crate::observe::event::Event { reason: Reason::Response, ..one.clone() });
        history.add(&crate::observe::event::Event { source: None, trial: true, ..one });
        let summary = summary(&history);
        let text = Abuse::new(&summary, 9).text();
        assert!(!text.contains("192.0.2.1") && !text.contains("--networks"), "{text}");
        assert!(
            text.starts_with("NTP queries (mode 6 and 7) dropped, or passed in a trial, from 2023"),
            "{text}"
        );
        let ends: Vec<_> = text.lines().rev().step_by(2).take(3).collect();
        assert!(ends[2].starts_with("besides, ~3 \u{b1} 2 packets, ~150 bytes were responses: "), "{text}");
        assert!(ends[1].contains("source was hidden") && ends[0].contains("passed in a trial"), "{text}");
        // Without such packets, nothing is explained.
        let nothing = History::new(START).since(Duration::from_secs(60), START + 60);
        let text = Abuse::new(&nothing, 9).text();
        assert!(text.ends_with("to 2023-11-14T22:16:00Z: 0 packets, 0 bytes"), "{text}");
    }

    #[test]
    fn more_sources_than_are_kept_are_said() {
        let mut history = History::new(START);
        for source in 0..2000_u32 {
            let address = IpAddr::from((0x0a00_0000 + source).to_be_bytes());
            history.add(&query(START, &address.to_string(), 1));
        }
        (0..500).for_each(|_| history.add(&query(START, "192.0.2.1", 1)));
        let summary = summary(&history);
        let text = Abuse::new(&summary, 1).text();
        assert!(text.contains("\n192.0.2.0/24: 500 packets, 25,000 bytes or up to "), "{text}");
        let missing =
            summary.total.packets - summary.sources.iter().map(|source| source.seen.packets).sum::<u64>();
        assert!(
            missing > 900
                && text.contains(&format!("more sources than are kept: {} packets", HumanCount(missing)))
        );
    }

    #[test]
    fn times_are_rfc_3339() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (START, "2023-11-14T22:15:00Z"),
            (u64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(time(seconds), text);
        }
    }

    #[test]
    fn every_field_is_documented() {
        fn fields(value: &Value, named: &mut dyn FnMut(&str)) {
            match value {
                Value::Array(values) => values.iter().for_each(|value| fields(value, named)),
                Value::Object(all) => all.iter().for_each(|(name, value)| {
                    named(name);
                    fields(value, named);
                }),
                _ => (),
            }
        }
        let summary = summary(&history());
        let object = Abuse::new(&summary, 2).json(START + 200);
        let docs = include_str!("../../../docs/src/reference/report.md");
        fields(&object, &mut |name| assert!(docs.contains(&format!("`{name}`")), "{name}"));
        assert_eq!((&object["time"], &object["sources"]), (&json!("2023-11-14T22:18:20Z"), &json!(14)));
        let network = &object["networks"][0];
        assert_eq!(
            (&network["packets"], &network["error"], &network["samples"]),
            (&json!(624), &json!(66.0), &json!(78))
        );
        assert_eq!(
            network["queries"],
            json!([{ "mode": 7, "request": "monlist", "trial": false, "packets": 624 }])
        );
        assert_eq!(
            (network["addresses"].as_array().unwrap().len(), &network["more_addresses"]),
            (10, &json!(2))
        );
        assert_eq!((&object["more_networks"], &object["more"]["packets"]), (&json!(1), &json!(1)));
        assert_eq!(object["responses"]["first"], Value::Null);
    }
}
