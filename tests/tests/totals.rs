//! Three million packets of a known mix: every view shows the same exact totals, and the ten sources that really sent most.

use nix::sys::signal::Signal;
use ntpguard_tests::{
    client::Wire,
    following::wait_for,
    frame::{Frame, payload},
    guard::binary,
    home::Home,
    netns::{INTERFACE, Lab},
    prometheus::get,
    random::Random,
    tmux::Tmux,
};
use serde_json::Value;
use std::collections::BTreeMap;

const CONF: &str = "\
restrict default nomodify nopeer noquery
restrict 198.51.100.0 mask 255.255.255.0 ignore
restrict 203.0.113.0 mask 255.255.255.0 noserve
restrict 192.0.2.0 mask 255.255.255.0
unrestrict default limited
";

/// Source, number of packets in thousands, the reason of the verdict, and the line that caused it.
const MIX: [(&str, u64, &str, Option<u64>); 13] = [
    ("198.18.1.1", 600, "mode7", None),
    ("198.51.100.1", 450, "ignore", Some(2)),
    ("198.18.1.2", 350, "noquery", Some(1)),
    ("203.0.113.1", 300, "noserve", Some(3)),
    ("198.18.1.3", 250, "mode7", None),
    ("2001:db8:7::1", 200, "noquery", Some(1)),
    ("198.51.100.2", 160, "ignore", Some(2)),
    ("198.18.1.4", 130, "mode7", None),
    ("203.0.113.2", 110, "noserve", Some(3)),
    ("2001:db8:7::2", 90, "noquery", Some(1)),
    ("198.51.100.3", 45, "ignore", Some(2)),
    ("198.18.1.5", 40, "noquery", Some(1)),
    ("198.18.1.6", 75, "time", None),
];
/// Number of additional sources, each of which sends a thousand monlist requests.
const SMALL: u64 = 200;
/// The total in thousands of packets.
const ALL: u64 = 3000;
/// Number of packets between two checks whether the kernel has received all.
const BURST: usize = 500;
const ADDRESS: &str = "127.0.0.1:9123";

fn frame(source: &str, reason: &str) -> Vec<u8> {
    let frame = Frame::from(source, 40000);
    match reason {
        "mode7" => frame.payload(payload::MONLIST).build(),
        "noquery" => frame.payload(payload::READVAR).build(),
        _ => frame.payload(&payload::time(3, 4)).build(),
    }
}

/// One frame for each kind, with the number of times that it is sent.
fn frames() -> Vec<(Vec<u8>, u64)> {
    let large = MIX.iter().map(|(source, thousands, reason, _)| (frame(source, reason), thousands * 1000));
    let small = (0..SMALL).map(|host| (frame(&format!("198.19.0.{host}"), "mode7"), 1000));
    large.chain(small).collect()
}

/// The indexes of all frames to be sent, in random order.
fn shuffled(frames: &[(Vec<u8>, u64)]) -> Vec<u16> {
    let mut order: Vec<u16> = (0..)
        .zip(frames)
        .flat_map(|(number, (_, count))| std::iter::repeat_n(number, *count as usize))
        .collect();
    let mut random = Random::new(3);
    (1..order.len()).rev().for_each(|last| order.swap(last, random.below(last + 1)));
    order
}

/// The true totals in packets by the key that `of` returns for a row; the additional sources count as mode7.
fn true_totals<K: Ord>(of: impl Fn(&'static str, Option<u64>) -> Option<K>) -> BTreeMap<K, u64> {
    let mut totals = BTreeMap::new();
    for (_, thousands, reason, line) in MIX.into_iter().chain([("", SMALL, "mode7", None)]) {
        if let Some(key) = of(reason, line) {
            *totals.entry(key).or_default() += thousands * 1000;
        }
    }
    totals
}

#[test]
fn all_show_the_same_totals_and_the_true_top_ten() {
    assert_eq!(MIX.iter().map(|row| row.1).sum::<u64>() + SMALL, ALL);
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    let guard = home.guarding_with(&["--metrics", ADDRESS]).unwrap();
    let tmux = Tmux::new(&lab.server, (120, 50)).unwrap();
    tmux.line(&format!("{} top {}", binary().unwrap().display(), home.places().join(" "))).unwrap();
    tmux.shows("top", |screen| screen.contains("no attack"));

    let frames = frames();
    let order = shuffled(&frames);
    let wire = Wire::open(&lab.outside).unwrap();
    let start = std::time::Instant::now();
    for burst in order.chunks(BURST) {
        burst.iter().for_each(|number| wire.send(&frames[usize::from(*number)].0).unwrap());
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{} packets in {seconds:.1} s", order.len());

    // `stats --format json`, once all events have been processed.
    let packets = |counter: &Value| counter["packets"].as_u64().unwrap();
    let mut stats = Value::Null;
    wait_for("every event is told", || {
        let output = home.output("stats --rules --sources 10 --format json").unwrap();
        stats = serde_json::from_slice(&output.stdout).unwrap();
        packets(&stats["dropped"]) + packets(&stats["passed"]) == ALL * 1000
            && packets(&stats["dropped_sources"]) == packets(&stats["dropped"])
    });
    let by_reason = true_totals(|reason, _| Some(reason));
    for (reason, total) in &by_reason {
        assert_eq!(packets(&stats["reasons"][reason]), *total, "{reason}: {stats}");
    }
    assert_eq!(packets(&stats["dropped"]) + packets(&stats["passed"]), ALL * 1000);
    let by_line = true_totals(|_, line| line);
    let mut shown: BTreeMap<u64, u64> = BTreeMap::new();
    for rule in stats["rules"].as_array().unwrap() {
        // There is a rule for each family.
        *shown.entry(rule["line"].as_u64().unwrap()).or_default() += packets(rule);
    }
    assert_eq!(shown, by_line);

    // Exactly the true ten sources are shown, in their order as far as samples can tell it.
    let truth: Vec<_> = MIX.iter().take(10).map(|row| row.0).collect();
    let shown = stats["dropped_sources"]["sources"].as_array().unwrap();
    assert!(shown.iter().all(|one| truth.contains(&one["source"].as_str().unwrap())), "{shown:?}");
    assert_eq!(shown.len(), 10);
    for one in shown {
        let truth = MIX.iter().find(|row| row.0 == one["source"]).unwrap().1 as f64 * 1000.0;
        let (estimate, error) = (packets(one) as f64, one["error"].as_f64().unwrap());
        println!("{} sent {truth}, estimated {estimate} ± {error:.0}", one["source"]);
        assert!((estimate - truth).abs() <= 5.0 * error, "{one}");
    }
    // The events stand for exactly the number of packets that were dropped.
    assert_eq!(packets(&stats["dropped_sources"]), packets(&stats["dropped"]), "{stats}");

    // The text output of `stats`.
    let text = String::from_utf8(home.output("stats --rules --sources").unwrap().stdout).unwrap();
    let has = |text: &str, words: &[&str]| {
        let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        assert!(lines.any(|line| words.iter().all(|word| line.contains(word))), "{words:?} in\n{text}");
    };
    for (reason, total) in &by_reason {
        has(&text, &[reason, &total.to_string()]);
    }
    truth.iter().for_each(|source| has(&text, &["dropped", source]));

    // The metrics.
    let samples = by_reason.iter().map(|(reason, total)| {
        let action = if *reason == "time" { "pass" } else { "drop" };
        format!(
            "ntpguard_packets_total{{interface=\"{INTERFACE}\",reason=\"{reason}\",action=\"{action}\"}} {total}"
        )
    });
    let samples: Vec<_> = samples.collect();
    let mut scraped = String::new();
    // A scrape gets a copy that is made every few seconds.
    wait_for("all reasons in a scrape", || {
        scraped = get(&lab.server, ADDRESS, "/metrics", "").unwrap().body;
        samples.iter().all(|sample| scraped.lines().any(|line| line == sample))
    });
    for (line, total) in &by_line {
        let of = format!("line=\"{line}\"");
        let sum: u64 = scraped
            .lines()
            .filter(|sample| sample.starts_with("ntpguard_line_packets_total{") && sample.contains(&of))
            .map(|sample| sample.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum();
        assert_eq!(sum, *total, "{of} in\n{scraped}");
    }

    // The screen of `top`.
    let screen =
        tmux.shows("the last packet", |screen| screen.contains(&grouped(packets(&stats["dropped"]))));
    println!("{screen}");
    tmux.press("Tab").unwrap();
    let sources = tmux.shows("the sources", |screen| truth.iter().all(|source| screen.contains(source)));
    println!("{sources}");
    for (reason, total) in &by_reason {
        has(&screen, &[reason, &grouped(*total)]);
    }
    tmux.press("q").unwrap();

    // The output of `run`.
    let totals = guard.end(Signal::SIGTERM).unwrap().totals.unwrap();
    for (reason, total) in &by_reason {
        assert_eq!(packets(&totals["reasons"][reason]), *total, "{reason}: {totals}");
    }
    wait_for("the end of top", || tmux.screen().is_ok_and(|screen| screen.trim_end().ends_with('$')));
}

/// A number with a comma after each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let pieces: Vec<_> =
        digits.as_bytes().rchunks(3).rev().map(|piece| std::str::from_utf8(piece).unwrap()).collect();
    pieces.join(",")
}
