//! `ntpguard report` as its users run it, with a history that was written before.

use ntpguard::{
    guard::state,
    host::access::Readers,
    observe::{
        event::Event,
        history::{History, file},
    },
};
use ntpguard_common::Reason;
use ntpguard_tests::guard::binary;
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

fn report(folder: &Path, options: &str) -> Output {
    let mut command = Command::new(binary().unwrap());
    command.arg("report").args(options.split_whitespace()).arg("--state-dir").arg(folder).output().unwrap()
}

fn monlist(time: u64, source: &str) -> Event {
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
        scale: 8,
        trial: false,
        frame: None,
    }
}

#[test]
fn what_was_kept_is_shown_by_network() {
    let folder = tempfile::tempdir().unwrap();
    let now = state::now();
    let mut history = History::new(now - 20_000);
    (0..1000).for_each(|_| history.add(&monlist(now - 600, "192.0.2.1")));
    (0..10).for_each(|_| history.add(&monlist(now - 7200, "2001:db8::1")));
    history.save(folder.path(), now, &Readers::default()).unwrap();

    let json = |options: &str| -> Value {
        let output = report(folder.path(), &format!("--format json {options}"));
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let networks = |report: &Value| -> Vec<(Value, Value)> {
        let networks = report["networks"].as_array().unwrap().iter();
        networks.map(|network| (network["network"].clone(), network["packets"].clone())).collect()
    };
    let last = (json!("192.0.2.0/24"), json!(8000));
    assert_eq!(networks(&json("")), std::slice::from_ref(&last));
    assert_eq!(networks(&json("--since 3h")), [last.clone(), (json!("2001:db8::/48"), json!(80))]);
    let one = json("--since 1d --networks 1");
    assert_eq!((networks(&one), &one["more_networks"]), (vec![last], &json!(1)));

    let output = report(folder.path(), "--since 2d");
    let (text, told) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(text.contains("192.0.2.0/24: ~8,000 \u{b1} 240 packets, ~400,000 bytes\n"), "{text}");
    assert!(told.contains("older than a day"), "{told}");
    assert_eq!(report(folder.path(), "--since 1q").status.code(), Some(64));
}

#[test]
fn without_a_history_it_says_who_writes_one() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let output = report(folder.path(), "");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2));
        assert!(said.contains("history.json") && said.contains("`ntpguard run` writes it"), "{said}");
        // Nor can the history of another version be read.
        fs::write(file(folder.path()), r#"{"version":0,"began":0,"buckets":[]}"#).unwrap();
    }
}
