//! What is shown of associations: by `status`, `doctor`, `run` and the metrics.

use nix::sys::signal::Signal;
use ntpguard_tests::{
    client::Wire,
    following::wait_for,
    frame::{Frame, payload},
    home::Home,
    netns::Lab,
    prometheus::get,
    visit::Visit,
};
use serde_json::{Value, json};
use std::net::UdpSocket;

const IGNORE: &str = "restrict default ignore\nrestrict source nomodify noquery\nserver 198.51.100.9\n";
/// A server that the file names.
const NAMED: &str = "198.51.100.9";
/// One that it doesn't.
const ASKED: &str = "198.51.100.5";
const ADDRESS: &str = "127.0.0.1:9123";

/// Asks a server as the daemon would, with a poll interval of 64 s.
fn asks(lab: &Lab, server: &str) {
    lab.server.enter(|| {
        let socket = UdpSocket::bind("192.0.2.1:123").unwrap();
        socket.send_to(&payload::time(3, 4), (server, 123)).unwrap();
    });
}

/// Sends answers from an address.
fn answers(lab: &Lab, source: &str, count: u64) {
    let wire = Wire::open(&lab.outside).unwrap();
    let frame = Frame::from(source, 123).payload(&payload::time(4, 4)).build();
    (0..count).for_each(|_| wire.send(&frame).unwrap());
}

fn associations(home: &Home<'_>) -> Value {
    home.status().unwrap()["associations"].clone()
}

fn text(home: &Home<'_>) -> String {
    String::from_utf8(home.output("status").unwrap().stdout).unwrap()
}

/// The value of a metric without labels.
fn metric(lab: &Lab, name: &str) -> Option<f64> {
    let body = get(&lab.server, ADDRESS, "/metrics", "").unwrap().body;
    body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn status_says_who_they_are_and_how_that_is_known() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, IGNORE).unwrap();
    home.attach().unwrap();
    asks(&lab, ASKED);
    answers(&lab, ASKED, 3);
    let shown = associations(&home);
    assert!(["namespace", "address"].map(Value::from).contains(&shown["learning"]), "{shown}");
    assert_eq!((&shown["open_seconds"], &shown["live_packets"]), (&json!(0), &json!(3)), "{shown}");
    let asked = json!({ "address": ASKED, "port": 123, "poll": 64, "last_seconds_ago": 0, "ends_in_seconds": 128,
        "origin": "sent to" });
    let named = json!({ "address": NAMED, "port": 123, "poll": null, "last_seconds_ago": 0,
        "ends_in_seconds": 1 << 18, "origin": "named in the configuration" });
    assert_eq!(shown["list"], json!([asked, named]));
    let said = text(&home);
    for line in [
        "send: 2 live\n",
        "no association ends until `ntpguard run` looks after it\n",
        "  198.51.100.5 port 123, poll 64 s: sent to 0 s ago\n",
        "  198.51.100.9 port 123, poll unknown: named in the configuration, read 0 s ago\n",
        "3 packets came from associations, 0 from addresses that may be one;",
    ] {
        // The words are `this host's addresses send` or `this network namespace sends`, by the kernel.
        assert!(said.replace("sends:", "send:").contains(line), "{line}: {said}");
    }

    // Where the program is gone, nothing is learnt.
    lab.server.run(&format!("rm -f {}", home.bpffs().join("ntpguard/learn").display())).unwrap();
    assert_eq!(associations(&home)["learning"], Value::Null);
    assert!(text(&home).contains("associations aren't learnt: 2 live\n"));

    // Without the line there is nothing to show.
    home.write("restrict default ignore\nserver 198.51.100.9\nrestrict 198.51.100.9\n").unwrap();
    home.run("reload").unwrap();
    assert_eq!(associations(&home), Value::Null);
    assert!(!text(&home).contains("associations"));
    home.run("detach --all").unwrap();
}

#[test]
fn while_not_all_are_known_seconds_are_counted_down() {
    let lab = Lab::new().unwrap();
    // A daemon that doesn't list its associations.
    let _silent = lab.server.enter(|| UdpSocket::bind("0.0.0.0:123").unwrap());
    let home = Home::new(&lab.server, IGNORE).unwrap();
    let guard = home.guarding_with(&["--metrics", ADDRESS]).unwrap();
    answers(&lab, "198.51.100.77", 2);
    let open = |shown: &Value| shown["open_seconds"].as_u64().unwrap();
    let first = associations(&home);
    assert!((1..=2048).contains(&open(&first)), "{first}");
    assert_eq!(first["unknown_packets"], 2, "{first}");
    wait_for("seconds pass", || open(&associations(&home)) < open(&first));
    let said = text(&home);
    assert!(said.contains(" s more, any address may be one\n"), "{said}");
    assert!(!said.contains("no association ends"), "{said}");
    for (name, wanted) in [
        ("ntpguard_associations", 1.0),
        ("ntpguard_association_packets_total", 0.0),
        ("ntpguard_association_unknown_packets_total", 2.0),
    ] {
        wait_for(name, || metric(&lab, name) == Some(wanted));
    }
    assert!(metric(&lab, "ntpguard_association_full_total").is_some());
    wait_for("the gauge", || {
        metric(&lab, "ntpguard_association_open_seconds").is_some_and(|open| open < 2048.0)
    });

    home.write("restrict default ignore\nserver 198.51.100.9\nrestrict 198.51.100.9\n").unwrap();
    wait_for("the policy without the line", || metric(&lab, "ntpguard_associations").is_none());
    let said = guard.end(Signal::SIGTERM).unwrap().errors;
    let line = said.lines().find(|line| line.starts_with("the daemon's associations are learnt from what "));
    assert!(line.is_some_and(|line| line.len() <= 80), "{said}");
    home.run("detach --all").unwrap();
}

#[test]
fn doctor_says_where_too_little_is_learnt() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, IGNORE).unwrap();
    let learning = || {
        let visit = Visit::pay(&lab.server, &[&home.places()[0]]);
        let all = visit.all("learning").into_iter();
        all.map(|found| {
            format!("{}: {}", found["status"].as_str().unwrap(), found["message"].as_str().unwrap())
        })
        .collect::<Vec<_>>()
    };
    assert_eq!(learning(), [""; 0], "nothing is guarded, and no daemon runs");
    let guard = home.guarding().unwrap();
    let found = learning();
    assert!(matches!(&found[..], [one] if one.contains("are learnt from what this")), "{found:?}");
    drop(guard);
    let alone = learning();
    assert!(matches!(&alone[..], [_, two] if two.starts_with("note: no process looks after")), "{alone:?}");
    lab.server.run(&format!("rm {}", home.bpffs().join("ntpguard/learn").display())).unwrap();
    let gone = learning();
    assert!(gone[0].starts_with("warning: aren't learnt"), "{gone:?}");
    home.run("detach --all").unwrap();
}
