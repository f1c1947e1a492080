//! Native XDP where it is refused or not available, on real interfaces: the kernel's own reason is reported, and the advice
//! works.

use nix::sys::signal::Signal;
use ntpguard_tests::{
    fixture::path,
    guard::{Guarding, binary, command},
    netns::{Lab, Netns},
};
use serde_json::Value;

/// A veth whose peer has more transmit queues than it has receive queues.
const FEW_QUEUES: [&str; 3] = [
    "ip link add few0 numrxqueues 1 numtxqueues 1 type veth peer name many0 numrxqueues 4 numtxqueues 4",
    "ip link set few0 up",
    "ip link set many0 up",
];
/// The kernel's message for this (drivers/net/veth.c:veth_xdp_set).
const WORDS: &str = "XDP expects number of rx queues not less than peer tx queues";

fn lab(lines: &[&str]) -> Lab {
    let lab = Lab::new().unwrap();
    lines.iter().for_each(|line| drop(lab.server.run(line).unwrap()));
    lab
}

/// Standard error of a `run` that accepts only native XDP.
fn refused(host: &Netns, interface: &str) -> String {
    let conf = path("pool.conf");
    let native =
        ["run", "--interface", interface, "--xdp-mode", "native", "--config", conf.to_str().unwrap()];
    let output = command(host, &native).unwrap().output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    errors
}

/// The line about an interface by a `run` in the best available mode.
fn fallback(host: &Netns, interface: &str) -> Value {
    let mut guard = Guarding::start(host, &path("pool.conf"), &["--interface", interface]).unwrap();
    let line = guard.line().unwrap();
    assert_eq!(line["interface"], interface, "{line}");
    assert!(guard.end(Signal::SIGTERM).unwrap().status.success());
    line
}

/// Status, message and fix of the doctor's finding about an interface's mode.
fn foretold(host: &Netns, interface: &str) -> (String, String, Value) {
    let mut doctor = host.command(binary().unwrap());
    let output = doctor.args(["doctor", "--format", "json", "--interface", interface]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let mode = checks.iter().find(|found| found["check"] == "mode").unwrap();
    let text = |field: &str| mode[field].as_str().unwrap().to_owned();
    (text("status"), text("message"), mode["fix"].clone())
}

/// Whether `ip` shows an XDP program on an interface.
fn has_program(host: &Netns, interface: &str) -> bool {
    let output = host.command("ip").args(["link", "show", "dev", interface]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().contains("prog/xdp")
}

#[test]
fn the_kernels_own_reason_is_shown() {
    let lab = lab(&FEW_QUEUES);
    let errors = refused(&lab.server, "few0");
    assert!(errors.contains(WORDS) && errors.contains("--xdp-mode generic"), "{errors}");
    assert!(!errors.contains("has no native XDP"), "{errors}");
    assert!(!has_program(&lab.server, "few0"), "asking left a program behind");

    let line = fallback(&lab.server, "few0");
    assert_eq!(line["mode"], "generic");
    assert!(line["fallback"].as_str().unwrap().ends_with(WORDS), "{line}");
    assert!(!has_program(&lab.server, "few0"));
}

#[test]
fn a_refusal_is_foretold_where_it_can_be_seen() {
    let lab = lab(&FEW_QUEUES);
    let (status, message, _) = foretold(&lab.server, "few0");
    // Before Linux 6.3 the kernel doesn't report it.
    if message != "native" {
        assert!(status == "note" && message.starts_with("generic: "), "{message}");
        assert!(message.contains("fewer queues to receive by than its peer"), "{message}");
    }
}

#[test]
fn lines_of_run_fit_a_terminal() {
    let lab = lab(&FEW_QUEUES);
    let conf = path("pool.conf");
    let guarded = ["run", "--interface", "few0", "--interval", "200ms", "--config", conf.to_str().unwrap()];
    let mut run = command(&lab.server, &guarded).unwrap();
    let mut run =
        run.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let mut text = String::new();
    let mut lines = std::io::BufReader::new(run.stdout.take().unwrap());
    while !text.contains("peer tx queues\n") {
        let length = std::io::BufRead::read_line(&mut lines, &mut text).unwrap();
        assert_ne!(length, 0, "{text}");
    }
    run.kill().unwrap();
    run.wait().unwrap();
    assert!(text.starts_with("guarding few0, generic XDP\n  at several times the cost"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}
