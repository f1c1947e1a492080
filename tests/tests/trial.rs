//! A trial: packets that would be dropped have separate counters, and every view names the trial.

use nix::sys::signal::Signal;
use ntpguard_tests::{
    client::Wire,
    following::{changed, policy, wait_for},
    frame::{Frame, payload},
    guard::binary,
    home::Home,
    netns::Lab,
    prometheus::get,
    tmux::Tmux,
};
use serde_json::{Value, json};

const CONF: &str = "\
restrict default nomodify nopeer noquery
restrict 198.51.100.0 mask 255.255.255.0 ignore
restrict 192.0.2.0 mask 255.255.255.0
unrestrict default limited
";
const ADDRESS: &str = "127.0.0.1:9123";

/// Sends these numbers of monlist requests, of packets that line 2 ignores, and of requests that pass; each kind from one source.
fn send(lab: &Lab, [monlists, ignored, served]: [u64; 3]) {
    let wire = Wire::open(&lab.outside).unwrap();
    let time = payload::time(3, 4);
    for (source, payload, count) in [
        ("198.18.0.2", payload::MONLIST, monlists),
        ("198.51.100.5", time.as_slice(), ignored),
        ("198.18.0.3", time.as_slice(), served),
    ] {
        let frame = Frame::from(source, 40000).payload(payload).build();
        (0..count).for_each(|_| wire.send(&frame).unwrap());
    }
}

fn json(home: &Home<'_>, line: &str) -> Value {
    let output = home.output(&format!("{line} --format json")).unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(home: &Home<'_>, line: &str) -> String {
    let output = home.output(line).unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The numbers of packets that passed, were dropped, and would have been dropped; of the last two, those by mode 7 and by line 2.
fn numbers(counters: &Value) -> [u64; 7] {
    let packets = |counter: &Value| counter["packets"].as_u64().unwrap_or_default();
    let of_line = |rules: &Value| -> u64 {
        let rules = rules.as_array().unwrap_or_else(|| panic!("no rules: {counters}")).iter();
        rules.filter(|rule| rule["line"] == 2 && rule["reason"] == "ignore").map(packets).sum()
    };
    let by_reason = [&counters["reasons"]["mode7"], &counters["trial_reasons"]["mode7"]].map(packets);
    let [passed, dropped, would] = ["passed", "dropped", "would_drop"].map(|name| packets(&counters[name]));
    let [by_line, would_by_line] = ["rules", "trial_rules"].map(|name| of_line(&counters[name]));
    [passed, dropped, would, by_reason[0], by_reason[1], by_line, would_by_line]
}

fn has(text: &str, line: &str) {
    let words: Vec<_> = line.split_whitespace().collect();
    let found = text.lines().any(|line| {
        let all: Vec<_> = line.split_whitespace().collect();
        all.windows(words.len()).any(|some| some == words)
    });
    assert!(found, "`{line}` is missing in\n{text}");
}

#[test]
fn what_a_trial_counts_is_kept_apart_and_named_wherever_it_stands() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    let mut guard = home.guarding_with(&["--monitor", "--metrics", ADDRESS]).unwrap();
    wait_for("events", || !json(&home, "stats --sources")["dropped_sources"].is_null());
    send(&lab, [40, 20, 5]);
    let trial = json(&home, "stats");
    assert_eq!(numbers(&trial), [5, 0, 60, 0, 40, 0, 20], "{trial}");
    assert_eq!(trial["monitor"], true);
    let table = text(&home, "stats --rules");
    has(&table, "a trial: everything passes, and what would be dropped is counted apart");
    has(&table, "would drop (trial) 60");
    has(&table, "would be dropped by line (trial)");
    has(&table, "dropped 0");
    let status = home.status().unwrap();
    assert_eq!((&status["dropped"], &status["would_drop"]), (&json!(0), &json!(60)), "{status}");
    has(
        &text(&home, "status"),
        "0 dropped, 0 answered so far; 60 more passed in a trial, and would be dropped",
    );
    let line = (0..50).map(|_| guard.line().unwrap()).find(|line| numbers(line) == numbers(&trial));
    assert_eq!(line.map(|line| line["monitor"].clone()), Some(json!(true)), "a line of `run`");
    let tmux = Tmux::new(&lab.server, (100, 30)).unwrap();
    tmux.line(&format!("{} top {}", binary().unwrap().display(), home.places().join(" "))).unwrap();
    let screen = tmux.shows("a trial", |screen| screen.contains("TRIAL, NOTHING IS DROPPED"));
    has(&screen, "would drop 60");

    // From now on packets are dropped, and the trial's numbers stay the same.
    home.run("enforce").unwrap();
    send(&lab, [7, 3, 2]);
    let both = [7, 10, 60, 7, 40, 3, 20];
    let enforced = json(&home, "stats");
    assert_eq!(numbers(&enforced), both, "{enforced}");
    assert_eq!(enforced["monitor"], false);
    let screen = tmux.shows("the drops", |screen| !screen.contains("TRIAL") && screen.contains("would drop"));
    has(&screen, "would drop 60");
    has(&screen, "dropped 10");
    tmux.press("q").unwrap();
    let samples = [
        "ntpguard_packets_total{interface=\"ntp0\",reason=\"mode7\",action=\"drop\"} 7",
        "ntpguard_trial_packets_total{interface=\"ntp0\",reason=\"mode7\"} 40",
        "ntpguard_packets_total{interface=\"ntp0\",reason=\"time\",action=\"pass\"} 7",
    ];
    wait_for("all in a scrape", || {
        let scraped = get(&lab.server, ADDRESS, "/metrics", "").unwrap().body;
        samples.iter().all(|sample| scraped.lines().any(|line| line == *sample))
    });
    let told = |sources: &Value, named: &str| sources[named]["packets"].as_u64().unwrap_or_default();
    let mut sources = Value::Null;
    wait_for("all events", || {
        sources = json(&home, "stats --sources");
        told(&sources, "dropped_sources") + told(&sources, "trial_sources") == 70
    });
    let most = |named: &Value| (named["sources"][0]["source"].clone(), named["packets"].clone());
    assert_eq!(most(&sources["dropped_sources"]), (json!("198.18.0.2"), json!(10)), "{sources}");
    assert_eq!(most(&sources["trial_sources"]), (json!("198.18.0.2"), json!(60)), "{sources}");
    has(&text(&home, "stats --sources"), "would drop (trial) 198.18.0.2 40");
    let report = json(&home, "report");
    let queries = json!([
        { "mode": 7, "request": "monlist", "trial": true, "packets": 40 },
        { "mode": 7, "request": "monlist", "trial": false, "packets": 7 },
    ]);
    assert_eq!(report["networks"][0]["queries"], queries, "{report}");
    let events = text(&home, "events --format json");
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let on_trial = events.filter(|event| event["trial"] == true);
    assert_eq!(on_trial.map(|event| event["scale"].as_u64().unwrap()).sum::<u64>(), 60);

    // Both counts follow their lines, and a reset applies to both.
    let before = policy(&home);
    home.write(&CONF.replace("unrestrict", "restrict 203.0.113.1 ignore\nunrestrict")).unwrap();
    changed(&home, before);
    assert_eq!(numbers(&json(&home, "stats")), both);
    home.run("stats --reset").unwrap();
    assert_eq!(numbers(&json(&home, "stats")), [0; 7]);
    home.run("monitor").unwrap();
    send(&lab, [1, 1, 1]);
    assert_eq!(numbers(&json(&home, "stats")), [1, 0, 2, 0, 1, 0, 1]);
    assert_eq!(numbers(&json(&home, "stats --total")), [8, 10, 62, 7, 41, 3, 21]);
    let totals = guard.end(Signal::SIGTERM).unwrap().totals.unwrap();
    assert_eq!(numbers(&totals), [8, 10, 62, 7, 41, 3, 21], "{totals}");
    // The next process goes on with both.
    let _guard = home.guarding_with(&[]).unwrap();
    assert_eq!(numbers(&json(&home, "stats --total")), [8, 10, 62, 7, 41, 3, 21]);
}

#[test]
fn a_packet_that_is_asked_about_in_a_trial_has_its_reason() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    home.attach_with("--monitor").unwrap();
    let pins = &home.places()[0];
    let line = format!("explain --running --format json {pins} --source 198.51.100.5 --mode 3");
    let mut command = lab.server.command(binary().unwrap());
    let output = command.args(line.split_whitespace()).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let said = (&answer["verdict"], &answer["reason"], &answer["trial"]);
    assert_eq!(said, (&json!("pass"), &json!("ignore"), &json!(true)), "{answer}");
}
