//! `ntpguard explain` and `ntpguard replay` as their users run them.

use ntpguard_tests::{
    frame::{
        Frame, SERVER_V4,
        payload::{MONLIST, READVAR, time},
    },
    guard::binary,
};
use serde_json::Value;
use std::{
    fs,
    net::Ipv4Addr,
    path::PathBuf,
    process::{Command, Output},
    time::Instant,
};

const CONF: &str =
    "restrict default noquery\nrestrict 192.0.2.0 mask 255.255.255.0 ignore\nrestrict 192.0.2.7\n";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::write(folder.path("ntp.conf"), CONF).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.run_as("ntp-4.2.6", arguments)
    }

    fn run_as(&self, dialect: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary().unwrap());
        command.args(arguments).args(["--dialect", dialect, "--local-address", "198.18.0.1", "--config"]);
        command.arg(self.path("ntp.conf")).output().unwrap()
    }

    fn explain(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[&["explain", "--format", "json"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

#[test]
fn a_verdict_with_its_reason_and_its_line() {
    let folder = Folder::new();
    for engine in ["kernel", "host"] {
        let explain = |arguments: &[&str]| {
            let answer = folder.explain(&[&["--no-hardening", "--engine", engine], arguments].concat());
            assert_eq!(answer["engine"], engine);
            let word = |key: &str| answer[key].as_str().unwrap().to_owned();
            (word("verdict"), word("reason"), answer["rule"]["line"].as_u64())
        };
        let told = |verdict: &str, reason: &str, line| (verdict.to_owned(), reason.to_owned(), line);
        assert_eq!(explain(&["--source", "192.0.2.1", "--mode", "3"]), told("drop", "ignore", Some(2)));
        assert_eq!(
            explain(&["--source", "192.0.2.7", "--payload", "1700032a00000000"]),
            told("pass", "query", Some(3))
        );
        assert_eq!(explain(&["--source", "203.0.113.1", "--mode", "7"]), told("drop", "noquery", Some(1)));
        assert_eq!(explain(&["--source", "203.0.113.1", "--mode", "3"]), told("pass", "time", Some(1)));
        assert_eq!(
            explain(&["--source", "203.0.113.1", "--source-port", "53", "--mode", "3"]),
            told("drop", "source-port", None)
        );
        let frame = Frame::from("192.0.2.1", 123).payload(READVAR).build();
        let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(explain(&["--frame", &hex]), told("drop", "ignore", Some(2)));
    }
    let built_in = folder.explain(&["--source", "198.18.0.1", "--source-port", "123", "--mode", "3"]);
    assert_eq!((&built_in["reason"], &built_in["rule"]), (&"impossible-source".into(), &Value::Null));
    assert_eq!(built_in["hardening"], false, "the daemon ignores its own address, too");
    let refused = folder.explain(&[
        "--source",
        "192.0.2.7",
        "--source-port",
        "40000",
        "--payload",
        "160200010000000000000004",
    ]);
    assert_eq!((&refused["reason"], &refused["hardening"]), (&"bad-query".into(), &true.into()));
    let text = folder.run(&["explain", "--source", "192.0.2.1", "--mode", "3"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("drop, ignore") && text.contains("ntp.conf:2:1: restrict 192.0.2.0"), "{text}");
}

/// A packet that the daemon's own limiter refuses isn't dropped by hardening, whatever the hardening options are.
#[test]
fn the_daemons_own_limit_is_no_hardening() {
    let folder = Folder::new();
    fs::write(folder.path("ntp.conf"), "restrict default limited kod nomodify noquery\n").unwrap();
    for hardening in [&[][..], &["--no-hardening"]] {
        let train = ["--source", "203.0.113.9", "--mode", "3", "--every", "30ms", "--repeat"];
        for (count, verdict) in [("2", "kod"), ("3", "drop")] {
            let explain = |format| {
                let asked = [&["explain"], &train[..], &[count], hardening, &["--format", format]].concat();
                folder.run_as("ntp-4.2.8", &asked).stdout
            };
            let answer: Value = serde_json::from_slice(&explain("json")).unwrap();
            let wanted = (&verdict.into(), &false.into());
            assert_eq!((&answer["verdict"], &answer["hardening"]), wanted, "{count}");
            let text = explain("text");
            let text = String::from_utf8(text).unwrap();
            assert!(!text.contains("hardening") && text.contains("rate limit"), "{text}");
        }
    }
}

#[test]
fn an_own_source_is_impossible_whatever_line_names_it() {
    let folder = Folder::new();
    fs::write(folder.path("ntp.conf"), "restrict default noquery\nrestrict 127.0.0.1\nrestrict 198.18.0.1\n")
        .unwrap();
    for source in ["127.0.0.1", "198.18.0.1"] {
        for mode in ["6", "7"] {
            let text = folder.run(&["explain", "--source", source, "--mode", mode]).stdout;
            let text = String::from_utf8(text).unwrap();
            assert!(text.starts_with("drop, ") && text.contains("an impossible source on a wire"), "{text}");
        }
    }
}

/// `restrict source` lifts `ignore` for associations and for nobody else, on both engines.
#[test]
fn who_is_an_association_is_told() {
    let folder = Folder::new();
    let template = "restrict default ignore\nrestrict source nomodify noquery\npool 0.pool.example\n";
    let explain = |engine, port, dialect, associated: &[&str]| {
        let arguments = ["--engine", engine, "--source", "203.0.113.9", "--mode", "3", "--source-port", port];
        let mut command = Command::new(binary().unwrap());
        command.args(["explain", "--local-address", "198.18.0.1", "--dialect", dialect]).args(arguments);
        command.args(associated).arg("--config").arg(folder.path("ntp.conf"));
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    fs::write(folder.path("ntp.conf"), template).unwrap();
    let others = ["--associated", "203.0.113.8", "--associated=[2001:db8::1]:123"];
    for (engine, dialect) in
        ["host", "kernel"].into_iter().flat_map(|engine| [(engine, "ntp-4.2.8"), (engine, "ntpsec")])
    {
        let words = explain(engine, "40000", dialect, &others);
        assert!(words.starts_with("drop, ignore") && words.contains("(--associated)"), "{words}");
        let words = explain(engine, "40000", dialect, &["--associated", "203.0.113.9:123"]);
        assert!(words.starts_with("pass") && words.contains("one of the daemon's associations:"), "{words}");
    }
    fs::write(folder.path("ntp.conf"), template.replace("0.pool.example", "203.0.113.9")).unwrap();
    assert!(explain("host", "123", "ntpsec", &[]).starts_with("pass"), "the file names it");
    // A server that broadcasts sends before anybody asks it.
    let broadcasts = format!("{template}broadcastclient\n");
    fs::write(folder.path("ntp.conf"), broadcasts).unwrap();
    assert!(explain("host", "123", "ntp-4.2.8", &[]).starts_with("drop, ignore"));
    // The lines by which 4.2.6 achieves the same are enforced.
    let instead = "restrict default ignore\nrestrict default ntpport nomodify notrap nopeer noquery\n";
    fs::write(folder.path("ntp.conf"), instead).unwrap();
    let words = explain("host", "40000", "ntp-4.2.6", &[]);
    assert!(words.starts_with("drop") && !words.contains("the daemon drops it"), "{words}");
    assert!(
        explain("host", "123", "ntp-4.2.6", &[]).starts_with("pass"),
        "an answer, or someone who asks from there"
    );
}

#[test]
fn what_makes_no_packet_is_refused() {
    let folder = Folder::new();
    for (arguments, code, word) in [
        (&["--source", "192.0.2.1", "--payload", "1g"][..], 64, "no hexadecimal digit"),
        (&["--mode", "3"], 64, "--source"),
        (&["--source", "192.0.2.1"], 64, "--payload"),
        (&["--source", "192.0.2.1", "--mode", "8"], 64, "8 is not in 0..8"),
    ] {
        let output = folder.run(&[&["explain"], arguments].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(word), "{arguments:?}: {said}");
    }
}

/// A pcap file with these frames, as tcpdump writes it: magic, version 2.4, snapshot length, Ethernet.
fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 262_144, 1] {
        file.extend(word.to_le_bytes());
    }
    for (second, frame) in (1_416_700_800..).zip(frames) {
        for word in [second, 0, frame.len() as u32, frame.len() as u32] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

fn attack() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for number in 0..1000_u32 {
        let [.., high, low] = number.to_be_bytes();
        frames.push(Frame::from(&format!("203.0.{high}.{low}"), 40000).payload(MONLIST).build());
    }
    let mut add = |source: &str, payload: &[u8], count| {
        frames.extend(std::iter::repeat_n(Frame::from(source, 40000).payload(payload).build(), count));
    };
    add("192.0.2.1", &time(3, 4), 300);
    add("192.0.2.2", &time(3, 4), 200);
    add("192.0.2.7", READVAR, 10);
    add("198.51.100.1", &time(3, 4), 500);
    frames.push(Frame::from("198.51.100.1", 40000).to_port(53).payload(&[0; 12]).build());
    frames
}

#[test]
fn a_capture_is_replayed_to_the_packet() {
    let folder = Folder::new();
    let capture = folder.path("attack.pcap");
    fs::write(&capture, pcap(&attack())).unwrap();
    let arguments = ["replay", capture.to_str().unwrap(), "--no-hardening", "--top", "2"];
    let output = folder.run(&[&arguments[..], &["--format", "json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["frames"], 2011);
    assert_eq!((&told["passed"]["packets"], &told["dropped"]["packets"]), (&510.into(), &1500.into()));
    let reasons = ["noquery", "ignore", "time", "query"]
        .map(|reason| told["reasons"][reason]["packets"].as_u64().unwrap());
    assert_eq!(reasons, [1000, 500, 500, 10]);
    assert_eq!(told["reasons"]["noquery"]["sample"]["payload"], "1700032a00000000");
    assert_eq!(told["reasons"]["noquery"]["sample"]["source"], "203.0.0.0");
    let sources: Vec<_> =
        told["sources"].as_array().unwrap().iter().map(|top| (&top["source"], &top["packets"])).collect();
    assert_eq!(sources, [(&"192.0.2.1".into(), &300.into()), (&"192.0.2.2".into(), &200.into())]);
    let lines: Vec<_> =
        told["rules"].as_array().unwrap().iter().map(|rule| (&rule["line"], &rule["packets"])).collect();
    assert_eq!(lines, [(&2.into(), &500.into()), (&1.into(), &1000.into())]);
    let text = String::from_utf8(folder.run(&arguments).stdout).unwrap();
    assert!(text.contains("1500 packets") && text.contains("ntp.conf:2:1: restrict 192.0.2.0"), "{text}");
}

#[test]
fn a_capture_that_is_cut_off_is_an_error_and_what_came_before_is_told() {
    let folder = Folder::new();
    let capture = folder.path("cut.pcap");
    let whole = pcap(&attack());
    fs::write(&capture, &whole[..whole.len() - 5]).unwrap();
    let output = folder.run(&["replay", capture.to_str().unwrap(), "--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let last = (whole.len() - attack().last().unwrap().len() - 16) as u64;
    assert_eq!((&told["frames"], &told["error"]["offset"]), (&2010.into(), &last.into()));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("cut.pcap") && said.contains(&last.to_string()), "{said}");
    fs::write(&capture, "no capture at all").unwrap();
    assert_eq!(folder.run(&["replay", capture.to_str().unwrap()]).status.code(), Some(1));
}

/// As `tcpdump -i eth0 port 123` writes it, without the direction of the frames.
#[test]
fn what_the_host_sent_itself_is_no_drop() {
    let folder = Folder::new();
    fs::write(folder.path("ntp.conf"), "restrict default ignore\nrestrict 198.51.100.0 mask 255.255.255.0\n")
        .unwrap();
    let mut frames = Vec::new();
    let mut asked = |source: &str, payload: &[u8], answer: &[u8]| {
        frames.push(Frame::from(source, 123).payload(payload).build());
        if !answer.is_empty() {
            let mut back = Frame::from(SERVER_V4, 123).payload(answer).build();
            // The destination address; the checksum isn't checked.
            back[30..34].copy_from_slice(&source.parse::<Ipv4Addr>().unwrap().octets());
            frames.push(back);
        }
    };
    // Two upstream servers, a client, and a flood.
    (0..20).for_each(|_| asked("198.51.100.1", &time(4, 4), &time(3, 4)));
    (0..20).for_each(|_| asked("198.51.100.2", &time(4, 4), &time(3, 4)));
    (0..20).for_each(|_| asked("203.0.113.5", &time(3, 4), &time(4, 4)));
    (0..50).for_each(|number| asked(&format!("192.0.2.{}", 100 + number), MONLIST, &[]));
    let capture = folder.path("both.pcap");
    fs::write(&capture, pcap(&frames)).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(binary().unwrap());
        command.args(["replay", capture.to_str().unwrap(), "--dialect", "ntp-4.2.6", "--config"]);
        let output = command.arg(folder.path("ntp.conf")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let told: Value = serde_json::from_slice(&run(&["--format", "json"])).unwrap();
    assert_eq!(told["local_addresses"], serde_json::json!([SERVER_V4]));
    assert_eq!((&told["frames"], &told["outgoing"]), (&170.into(), &60.into()));
    assert_eq!((&told["passed"]["packets"], &told["dropped"]["packets"]), (&40.into(), &70.into()));
    let text = String::from_utf8(run(&[])).unwrap();
    assert!(text.contains("60 sent by the host to others") && text.contains(SERVER_V4), "{text}");
}

#[test]
fn long_captures_take_no_time() {
    let folder = Folder::new();
    let capture = folder.path("long.pcap");
    let frames = attack();
    fs::write(&capture, pcap(&vec![frames; 100].concat())).unwrap();
    let start = Instant::now();
    let output = folder.run(&["replay", capture.to_str().unwrap(), "--format", "json"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    println!("{} frames in {:.0?}, this build", told["frames"], start.elapsed());
    assert_eq!(told["frames"], 201_100);
}
