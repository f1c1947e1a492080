use super::*;
use std::fs;

/// A time at which a bucket begins.
const NOON: u64 = 1_700_000_100 - 1_700_000_100 % SPAN;

/// A monlist query that was dropped.
pub(crate) fn query(time: u64, source: &str, scale: u32) -> Event {
    Event {
        time_ns: time * 1_000_000_000,
        interface: "eth0".to_owned(),
        source: source.parse().ok(),
        port: Some(80),
        mode: Some(7),
        version: Some(2),
        request: Some("monlist".to_owned()),
        length: 50,
        reason: Reason::Mode7,
        cause: None,
        scale,
        trial: false,
        frame: None,
    }
}

fn hour(history: &History, now: u64) -> Summary {
    history.since(Duration::from_secs(3600), now)
}

#[test]
fn sources_are_summed_up_over_buckets() {
    let mut history = History::new(NOON - 7200);
    for minute in 0..60 {
        history.add(&query(NOON + 60 * minute, "192.0.2.1", 8));
        history.add(&query(NOON + 60 * minute, "2001:db8::1", 1));
        history.add(&Event {
            mode: Some(6),
            request: Some("readvar".to_owned()),
            reason: Reason::Noquery,
            ..query(NOON + 60 * minute + 1, "192.0.2.1", 1)
        });
    }
    assert_eq!(history.buckets.len(), 12);
    let summary = hour(&history, NOON + 3599);
    assert_eq!((summary.from, summary.until, summary.floor), (NOON - SPAN, NOON + 3599, 0));
    let [first, second] = &summary.sources[..] else { panic!("{summary:?}") };
    let queries = vec![(Query::of(7, Some("monlist")), 480), (Query::of(6, Some("readvar")), 60)];
    assert_eq!((first.address.to_string().as_str(), &first.queries), ("192.0.2.1", &queries));
    let Estimate { packets, bytes, samples, first: begin, last, .. } = first.seen;
    assert_eq!((packets, bytes, samples, begin, last), (540, 27_000, 120, NOON, NOON + 59 * 60 + 1));
    assert_eq!((second.seen.packets, summary.total.packets), (60, 600));
    // The last five minutes, from the beginning of their bucket on.
    let last = history.since(Duration::from_secs(300), NOON + 3599);
    assert_eq!((last.from, last.total.samples), (NOON + 3000, 30));
    // The summary doesn't claim to know the time before the history began.
    assert_eq!(hour(&History::new(NOON), NOON + 60).from, NOON);
}

#[test]
fn only_queries_that_were_dropped_and_only_sources_that_may_be_victims() {
    let mut history = History::new(NOON);
    let one = query(NOON, "192.0.2.1", 2);
    for event in [
        Event { mode: Some(3), ..one.clone() },
        Event { mode: None, reason: Reason::Fragment, ..one.clone() },
        Event { reason: Reason::Query, ..one.clone() },
    ] {
        history.add(&event);
    }
    assert_eq!(history.buckets.len(), 0);
    for event in [
        Event { reason: Reason::Response, ..one.clone() },
        Event { reason: Reason::ImpossibleSource, ..one.clone() },
        Event { source: None, ..one.clone() },
    ] {
        history.add(&event);
    }
    assert_eq!(hour(&history, NOON).sources, []);
    history.add(&Event { trial: true, ..query(NOON, "::ffff:192.0.2.1", 4) });
    let Summary { sources, total, others, .. } = hour(&history, NOON);
    assert_eq!((sources[0].address, total.packets), ("192.0.2.1".parse().unwrap(), 4));
    let others = [others.responses, others.nobodys, others.passed].map(|seen| seen.packets);
    assert_eq!(others, [2, 4, 4]);
}

#[test]
fn a_day_of_floods_has_a_bound() {
    let mut history = History::new(NOON);
    for span in 0..BUCKETS as u64 + 10 {
        // More sources than there are places; one of them comes in every bucket.
        for source in 0..KEPT as u32 + 200 {
            let address = IpAddr::from((0x0a00_0000 + (span as u32 * 1000 + source)).to_be_bytes());
            history.add(&query(NOON + span * SPAN, &address.to_string(), 8));
        }
        (0..4).for_each(|_| history.add(&query(NOON + span * SPAN, "192.0.2.1", 8)));
    }
    assert_eq!(history.buckets.len(), BUCKETS);
    let places: usize = history.buckets.iter().map(|bucket| bucket.named.len()).sum();
    assert_eq!(places, (BUCKETS - 1) * KEPT + KEPT + 201);
    let last = NOON + (BUCKETS as u64 + 10) * SPAN - 1;
    let Summary { sources, floor, total, .. } = history.since(Duration::from_secs(2 * DAY), last);
    assert_eq!(total.samples, (BUCKETS * (KEPT + 204)) as u64);
    assert_eq!((sources.len(), sources[0].seen.samples), (SOURCES, 4 * BUCKETS as u64));
    // In each bucket but the last, any other source may have had eight packets.
    assert_eq!(floor, 8 * (BUCKETS as u64 - 1) + 8 * u64::from(floor > 8 * (BUCKETS as u64 - 1)));
    assert!(serde_json::to_vec(&history).unwrap().len() < 25_000_000);
}

#[test]
fn a_clock_that_is_set_takes_nothing_away() {
    let mut history = History::new(NOON);
    history.add(&query(NOON + 10, "192.0.2.1", 1));
    // The clock is years ahead for a moment, and then before the history began.
    history.add(&query(NOON + 400_000_000, "192.0.2.2", 1));
    history.add(&query(NOON + 20, "192.0.2.1", 1));
    history.add(&query(NOON - 4000, "192.0.2.3", 1));
    history.add(&query(5, "192.0.2.4", 1));
    history.forget(10);
    assert_eq!(history.buckets.len(), 4);
    let seen = hour(&history, NOON + 30);
    assert_eq!((seen.sources.len(), seen.total.packets), (1, 2));
    assert_eq!(hour(&history, NOON - 3600).sources[0].address, "192.0.2.3".parse::<IpAddr>().unwrap());
    assert_eq!(hour(&history, 100).total.packets, 1);
    history.forget(NOON + DAY);
    assert_eq!(history.buckets.len(), 2, "what is to come, and what isn't a day old");
}

#[test]
fn it_is_kept_and_what_no_version_wrote_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    assert!(History::load(&path).unwrap().is_none());
    let mut history = History::new(NOON);
    history.add(&query(NOON, "192.0.2.1", 8));
    history.add(&query(NOON + SPAN, "2001:db8::1", 8));
    let summary = hour(&history, NOON + 400);
    history.save(&path, NOON + 400, &Readers::default()).unwrap();
    let read = History::load(&path).unwrap().unwrap();
    assert_eq!(hour(&read, NOON + 400), summary);
    let written = serde_json::to_string(&summary).unwrap();
    assert_eq!(serde_json::from_str::<Summary>(&written).unwrap(), summary);
    for other in ["", "{}", r#"{"version":2,"began":0,"buckets":[]}"#] {
        fs::write(file(&path), other).unwrap();
        assert!(History::load(&path).unwrap().is_none(), "{other}");
    }
}
