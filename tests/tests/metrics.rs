//! Metrics as a real Prometheus scrapes them, and the queries of the dashboard and the alerts.

use nix::sys::signal::Signal;
use ntpguard::metrics::table;
use ntpguard_tests::{
    client::{Wire, flood},
    frame::{Frame, SERVER_V4 as SERVER, payload},
    guard::{Guarding, command},
    home::Home,
    netns::{INTERFACE, Lab},
    prometheus::{Prometheus, get, promtool, request},
};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const ADDRESS: &str = "127.0.0.1:9123";
const LISTEN: [&str; 2] = ["--metrics", ADDRESS];
const CONF: &str = "\
restrict default kod nomodify nopeer noquery limited
restrict 127.0.0.1
restrict 198.51.100.0 mask 255.255.255.0 ignore
server 192.0.2.9
pool 192.0.2.10
server 192.0.2.11
restrict source nomodify noquery
";

fn repository(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(path)
}

/// Sends frames that a line ignores.
fn ignored(lab: &Lab, count: u64) {
    let wire = Wire::open(&lab.outside).unwrap();
    let frame = Frame::from("198.51.100.5", 40000).payload(&payload::time(3, 4)).build();
    (0..count).for_each(|_| wire.send(&frame).unwrap());
}

fn scrape(lab: &Lab) -> String {
    let answer = get(&lab.server, ADDRESS, "/metrics", "").unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

/// Scrapes until the sample that begins like this has this value.
fn expect(lab: &Lab, guard: &mut Guarding, sample: &str, wanted: &str) {
    let line = format!("{sample} {wanted}");
    let seen = (0..60).any(|_| {
        guard.line().unwrap();
        scrape(lab).lines().any(|other| other == line)
    });
    assert!(seen, "`{line}` never came, but {}", scrape(lab));
}

fn succeeds(mut command: Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    said
}

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| word.starts_with("ntpguard_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

/// The queries of the dashboard, over a range of the last seconds.
fn queries() -> Vec<String> {
    let dashboard: Value =
        serde_json::from_str(&fs::read_to_string(repository("dist/grafana/ntpguard.json")).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    let variables: Vec<_> = dashboard["templating"]["list"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(variables, ["datasource", "job", "instance", "interface"]);
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let expressions = targets.chain(dashboard["annotations"]["list"].as_array().unwrap());
    let filled = |expression: &str| {
        [
            ("$__rate_interval", "10s"),
            ("$__range", "1m"),
            ("$job", ".*"),
            ("$instance", ".*"),
            ("$interface", ".*"),
        ]
        .iter()
        .fold(expression.to_owned(), |filled, (variable, value)| filled.replace(variable, value))
    };
    expressions.map(|one| filled(one["expr"].as_str().unwrap())).collect()
}

#[test]
fn a_real_prometheus_counts_what_was_sent() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    let guard = home.guarding_with(&LISTEN).unwrap();
    let rules = repository("dist/prometheus/ntpguard.rules.yml");
    let prometheus = Prometheus::start(&lab.server, ADDRESS, &rules).unwrap();
    prometheus.expect("up", "job", &[("ntpguard", 1.0)]).unwrap();
    assert_eq!(flood(&lab.outside, "192.0.2.2", SERVER, payload::MONLIST, 5000).unwrap().answers, 0);
    assert_eq!(flood(&lab.outside, "2001:db8::2", "2001:db8::1", payload::READVAR, 250).unwrap().answers, 0);
    ignored(&lab, 70);
    let dropped = "sum by (reason) (ntpguard_packets_total{action=\"drop\"} > 0)";
    prometheus.expect(dropped, "reason", &[("mode7", 5000.0), ("mode6", 250.0), ("ignore", 70.0)]).unwrap();
    prometheus.expect("ntpguard_line_packets_total{reason=\"ignore\"}", "line", &[("3", 70.0)]).unwrap();
    prometheus.expect("ntpguard_interface_guarded", "interface", &[(INTERFACE, 1.0)]).unwrap();
    let lines = [("pool", 1.0), ("server", 2.0)];
    prometheus.expect("ntpguard_configured_associations", "keyword", &lines).unwrap();
    for query in queries() {
        let got = prometheus.query(&query, "instance").unwrap();
        // Nothing restarts here, and nothing is on trial, so these may be empty.
        let may_be_empty = query.starts_with("changes(") || query.contains("(ntpguard_trial_packets_total{");
        assert!(!got.is_empty() || may_be_empty, "{query}");
    }
    assert!(guard.end(Signal::SIGTERM).unwrap().status.success());
    prometheus.expect("up", "job", &[("ntpguard", 0.0)]).unwrap();
    home.run("detach --all").unwrap();
}

#[test]
fn a_scrape_is_clean_and_documented_and_names_nobody() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    let mut guard = home.guarding_with(&LISTEN).unwrap();
    // The metrics of lines in a trial exist from the first trial on.
    home.run("monitor").unwrap();
    ignored(&lab, 9);
    home.run("enforce").unwrap();
    ignored(&lab, 7);
    let line = format!("{{file=\"{}\",line=\"3\",reason=\"ignore\"}}", home.conf().display());
    expect(&lab, &mut guard, &format!("ntpguard_trial_line_packets_total{line}"), "9");
    expect(&lab, &mut guard, "ntpguard_trial_packets_total{interface=\"ntp0\",reason=\"ignore\"}", "9");
    expect(&lab, &mut guard, &format!("ntpguard_line_packets_total{line}"), "7");
    expect(
        &lab,
        &mut guard,
        "ntpguard_packets_total{interface=\"ntp0\",reason=\"ignore\",action=\"drop\"}",
        "7",
    );
    let text = scrape(&lab);
    let mut check = promtool(&["check", "metrics"])
        .unwrap()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");

    // Every metric in the table has a sample, and no other metric has one.
    let sampled: BTreeSet<_> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split(['{', ' ']).next().unwrap().to_owned())
        .collect();
    assert_eq!(sampled, names(&table()));
    for file in
        ["dist/grafana/ntpguard.json", "dist/prometheus/ntpguard.rules.yml", "docs/src/reference/metrics.md"]
    {
        let asked = names(&fs::read_to_string(repository(file)).unwrap());
        assert!(asked.is_subset(&sampled), "{file}: {:?}", asked.difference(&sampled));
        assert!(asked.len() > 5, "{file}");
    }
    for network in ["198.51.100", "192.0.2", "127.0.0", "2001:db8", "::"] {
        assert!(!text.contains(network), "{network}: {text}");
    }

    let open =
        "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n";
    let answer = get(&lab.server, ADDRESS, "/metrics", open).unwrap();
    assert!(
        answer.head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{}",
        answer.head
    );
    assert!(
        answer.body.ends_with("\n# EOF\n") && answer.body.contains("# TYPE ntpguard_packets counter\n"),
        "{}",
        answer.body
    );
    assert!(answer.body.contains("# UNIT ntpguard_bytes bytes\n"), "{}", answer.body);
    let plain = get(&lab.server, ADDRESS, "/metrics", "").unwrap();
    assert!(plain.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{}", plain.head);
    assert!(guard.end(Signal::SIGTERM).unwrap().status.success());
}

#[test]
fn alerts_fire_when_they_should() {
    let said = succeeds(
        promtool(&["check", "rules", repository("dist/prometheus/ntpguard.rules.yml").to_str().unwrap()])
            .unwrap(),
    );
    assert!(said.contains("SUCCESS"), "{said}");
    let tests = repository("dist/prometheus/ntpguard.rules.test.yml");
    let said = succeeds(promtool(&["test", "rules", tests.to_str().unwrap()]).unwrap());
    assert!(said.contains("SUCCESS"), "{said}");
    // Each alert is tested, and says what to do.
    let [rules, tests] = ["dist/prometheus/ntpguard.rules.yml", "dist/prometheus/ntpguard.rules.test.yml"]
        .map(|path| fs::read_to_string(repository(path)).unwrap());
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    for alert in &alerts {
        assert!(tests.contains(&format!("alertname=\"{alert}\"")), "{alert}");
    }
    for annotation in ["summary:", "description:"] {
        assert_eq!(rules.matches(annotation).count(), alerts.len(), "{annotation}");
    }
}

#[test]
fn hits_go_with_their_lines_and_failed_reloads_are_counted() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    let mut guard = home.guarding_with(&LISTEN).unwrap();
    let line = |number: u32| {
        format!(
            "ntpguard_line_packets_total{{file=\"{}\",line=\"{number}\",reason=\"ignore\"}}",
            home.conf().display()
        )
    };
    let reloads = |result: &str| format!("ntpguard_reloads_total{{result=\"{result}\"}}");
    ignored(&lab, 10);
    expect(&lab, &mut guard, &line(3), "10");
    expect(&lab, &mut guard, &reloads("success"), "0");
    home.write(&format!("# one line more\n{CONF}")).unwrap();
    expect(&lab, &mut guard, &line(4), "10");
    assert!(!scrape(&lab).contains(&line(3)), "its series has ended");
    ignored(&lab, 5);
    expect(&lab, &mut guard, &line(4), "15");
    expect(&lab, &mut guard, &reloads("success"), "1");
    expect(&lab, &mut guard, "ntpguard_policy_generation", "2.0");

    fs::write(home.conf(), b"\0 garbage").unwrap();
    expect(&lab, &mut guard, &reloads("failure"), "1");
    let text = scrape(&lab);
    assert!(text.contains("\nntpguard_last_reload_successful 0.0\n"), "{text}");
    assert!(
        text.contains("\nntpguard_policy_generation 2.0\n") && text.contains(&format!("{} 15\n", line(4))),
        "{text}"
    );

    home.write(CONF).unwrap();
    expect(&lab, &mut guard, "ntpguard_last_reload_successful", "1.0");
    expect(&lab, &mut guard, &line(3), "15");
    expect(&lab, &mut guard, "ntpguard_trial", "0.0");
    home.run("monitor").unwrap();
    expect(&lab, &mut guard, "ntpguard_trial", "1.0");
    home.run("detach --all --force").unwrap();
}

#[test]
fn stalled_and_many_clients_do_not_hold_up_the_guard() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    let mut guard = home.guarding_with(&LISTEN).unwrap();
    let mut stalled: Vec<TcpStream> = lab.server.enter(|| {
        let begin = |_| {
            let mut stream = TcpStream::connect(ADDRESS).unwrap();
            // The server may have closed the connection meanwhile, so that it can't be written to.
            let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: ");
            stream
        };
        (0..100).map(begin).collect()
    });
    let start = Instant::now();
    ignored(&lab, 20);
    expect(
        &lab,
        &mut guard,
        "ntpguard_packets_total{interface=\"ntp0\",reason=\"ignore\",action=\"drop\"}",
        "20",
    );
    for _ in 0..50 {
        scrape(&lab);
    }
    let (before, mut lines) = (Instant::now(), 0);
    while before.elapsed() < Duration::from_secs(1) {
        guard.line().unwrap();
        lines += 1;
    }
    assert!(lines >= 3, "{lines} lines in a second, every 200 ms");
    println!("100 stalled clients, 50 scrapes and more: {:?}", start.elapsed());
    let mut open = 0;
    for stream in &mut stalled {
        stream.set_nonblocking(true).unwrap();
        open +=
            usize::from(stream.read(&mut [0; 512]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock));
    }
    assert!(open <= 16, "{open} stalled clients are still waited for");
    assert!(guard.end(Signal::SIGTERM).unwrap().status.success());
    home.run("detach --all").unwrap();
}

#[test]
fn nothing_else_is_answered_and_a_taken_port_is_said_before_anything_is_attached() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    let arguments = ["run", "--interface", INTERFACE, "--config"];
    let conf = home.conf().display().to_string();
    let taken = lab.server.enter(|| TcpListener::bind(ADDRESS)).unwrap();
    for (address, words) in
        [(ADDRESS, "Address already in use"), ("203.0.113.1:9123", "Cannot assign requested address")]
    {
        let arguments = [&arguments[..], &[&conf, "--metrics", address]].concat();
        let output = command(&lab.server, &arguments).unwrap().output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains(&format!("can't listen on {address}, which --metrics names"))
                && said.contains(words),
            "{said}"
        );
        assert!(!said.contains("policy"), "nothing was read or loaded: {said}");
        assert_eq!(lab.attached().unwrap(), [0; 0]);
    }
    drop(taken);
    let output = command(&lab.server, &["run", "--interface", INTERFACE, "--metrics", "9123"])
        .unwrap()
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64), "{output:?}");

    let mut guard = home.guarding_with(&LISTEN).unwrap();
    // When it has printed its first line, it has published something.
    guard.line().unwrap();
    for path in ["/", "/metrics/", "/metrics/../metrics", "/etc/passwd", "/-/ready"] {
        assert_eq!(get(&lab.server, ADDRESS, path, "").unwrap().status, 404, "{path}");
    }
    for method in ["POST", "HEAD", "DELETE", "OPTIONS"] {
        let answer = request(&lab.server, ADDRESS, &format!("{method} /metrics HTTP/1.0\r\n\r\n")).unwrap();
        assert_eq!(answer.status, 405, "{method}");
        assert!(answer.head.contains("allow: GET"), "{}", answer.head);
    }
    let long = format!("X: {}\r\n", "x".repeat(20_000));
    assert!(!get(&lab.server, ADDRESS, "/metrics", &long).is_ok_and(|answer| answer.status == 200));
    assert_eq!(get(&lab.server, ADDRESS, "/metrics?name[]=up", "").unwrap().status, 200);
    assert!(guard.end(Signal::SIGTERM).unwrap().status.success());
    home.run("detach --all").unwrap();
}
