//! Which daemon runs here and what its command line says: detected from what the kernel shows, with all rights and with
//! those of the unit.

use ntpguard_tests::{
    chrony::Chronyd,
    following::wait_for,
    guard::binary,
    netns::{INTERFACE, Lab, Netns},
    ntpd::Ntpd,
    unit::Unit,
};
use std::{fs, process::Output};

/// Only the daemon's own servers may send to it, by `restrict source`.
const IGNORING: &str = "restrict default ignore\nrestrict source nomodify\nrestrict 127.0.0.1\n";
const LOCAL: &str = "restrict default limited nomodify noquery\nrestrict 127.0.0.1\n";

fn ntpguard(host: &Netns, line: &str) -> Output {
    host.command(binary().unwrap()).args(line.split_whitespace()).output().unwrap()
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

#[test]
fn servers_on_the_command_line_are_associations() {
    let lab = Lab::new().unwrap();
    let conf = tempfile::NamedTempFile::new().unwrap();
    fs::write(conf.path(), IGNORING).unwrap();
    let answer = |options: &str| {
        let packet = "--source 192.0.2.2 --source-port 123 --mode 4 --engine host";
        let line = format!("explain --config {} {packet} {options}", conf.path().display());
        let output = ntpguard(&lab.server, &line);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        said(&output).split(',').next().unwrap().to_owned()
    };
    // With the daemon's arguments given by hand, for both dialects that have `restrict source`; without a server there is
    // no exception for one.
    for dialect in ["ntp-4.2.8", "ntpsec"] {
        let with = |arguments: &str| answer(&format!("--dialect {dialect} --daemon-args={arguments}"));
        assert_eq!([with("192.0.2.2"), with("-g")], ["pass", "drop"], "{dialect}");
    }
    assert_eq!(answer("--dialect ntpsec"), "drop", "no daemon runs");
    let daemon = Ntpd::start_with(&lab.server, IGNORING, &["192.0.2.2"]).unwrap();
    assert_eq!(answer(""), "pass");
    let output = ntpguard(&lab.server, &format!("check {}", conf.path().display()));
    let words = said(&output);
    assert!(words.contains(&format!("read as ntpsec does (process {}, ", daemon.id())), "{words}");
    assert!(words.contains("command line (process") && words.contains("says: servers 192.0.2.2"), "{words}");
    // Another namespace is like another host.
    let elsewhere = said(&ntpguard(&lab.outside, &format!("check {}", conf.path().display())));
    assert!(!elsewhere.contains("192.0.2.2") && !elsewhere.contains("process"), "{elsewhere}");
}

/// A request whose MAC has a key that the command line trusts may be authentic.
#[test]
fn a_key_on_the_command_line_may_be_right() {
    let lab = Lab::new().unwrap();
    let conf = tempfile::NamedTempFile::new().unwrap();
    fs::write(conf.path(), LOCAL).unwrap();
    let mac = format!("23{}{}{}", "00".repeat(47), "00000005", "11".repeat(16));
    let answer = |options: &str| {
        let line = format!("explain --config {} --source 192.0.2.2 --payload {mac}", conf.path().display());
        let output = ntpguard(&lab.server, &format!("{line} --dialect ntpsec --engine host {options}"));
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        said(&output).split(',').next().unwrap().to_owned()
    };
    let keys = answer("--daemon-args=-k/keys");
    assert_eq!(
        ["-t5", "-gt5", "--trustedkey=5"].map(|args| answer(&format!("--daemon-args={args}"))),
        ["pass"; 3]
    );
    assert_eq!([answer(""), keys], ["drop", "drop"]);
}

#[test]
fn with_the_units_rights_the_daemon_is_found_too() {
    let lab = Lab::new().unwrap();
    let unit = Unit::new(&lab.server, LOCAL).unwrap();
    let daemon = Ntpd::start_with(&lab.server, LOCAL, &["-t", "5"]).unwrap();
    // A process with these rights can't see the daemon's sockets.
    let conf = unit.home.conf();
    let line = format!("attach --interface {INTERFACE} --config {}", conf.display());
    let words = unit.run(&line);
    let words = words.unwrap();
    assert!(words.contains("read as ntpsec does (process "), "{words}");
    assert!(
        words.contains(&format!("(process {})", daemon.id())) && words.contains("trusted keys 5"),
        "{words}"
    );
    unit.run("detach --all").unwrap();
}

#[test]
fn another_daemon_on_the_port_is_named() {
    let lab = Lab::new().unwrap();
    let _chronyd = Chronyd::serve(&lab.server).unwrap();
    wait_for("chronyd holds the port", || {
        lab.server.run("ss -Hlnu sport = :123").is_ok_and(|shown| !shown.is_empty())
    });
    let output = ntpguard(&lab.server, "check");
    let words = said(&output);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("chronyd holds UDP port 123 (process "), "{words}");
    let conf = tempfile::NamedTempFile::new().unwrap();
    fs::write(conf.path(), LOCAL).unwrap();
    let words = said(&ntpguard(&lab.server, &format!("check {}", conf.path().display())));
    assert!(words.contains("a guess: chronyd holds UDP port 123"), "{words}");
}
