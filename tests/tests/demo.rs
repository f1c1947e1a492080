//! The demo, cut short at bad moments: nothing of it stays.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// In the environment of the demo and so of all its children.
const MARK: &str = "NTPGUARD_DEMO_UNDER_TEST=1";

#[test]
fn ctrl_c_and_kill_leave_nothing_behind() {
    let before = programs();
    // While the daemon starts, in the first flood, and when the guard is attached.
    for (signal, moment) in [
        (Signal::SIGINT, "1. Without ntpguard"),
        (Signal::SIGKILL, "reached the daemon"),
        (Signal::SIGINT, "guarding"),
        (Signal::SIGKILL, "guarding"),
    ] {
        let (name, value) = MARK.split_once('=').unwrap();
        let mut demo = Command::new(env!("CARGO_BIN_EXE_demo"))
            .env(name, value)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains(moment)), "it never came to {moment:?}");
        thread::sleep(Duration::from_millis(300));
        assert_ne!(children(), 0, "it runs");
        kill(Pid::from_raw(demo.id() as i32), signal).unwrap();
        demo.wait().unwrap();
        let start = Instant::now();
        while children() > 0 || programs() > before {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "{} processes, {} programs left after {signal} at {moment:?}",
                children(),
                programs() - before
            );
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Processes that carry the mark.
fn children() -> usize {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let marked =
        |environment: Vec<u8>| environment.split(|&byte| byte == 0).any(|one| one == MARK.as_bytes());
    processes.filter(|process| fs::read(process.path().join("environ")).is_ok_and(marked)).count()
}

/// XDP programs of ntpguard's in the kernel, attached or not.
fn programs() -> usize {
    let output = Command::new("bpftool").args(["--json", "prog", "list"]).output().unwrap();
    assert!(output.status.success());
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let ours = |program: &&serde_json::Value| program["type"] == "xdp" && program["name"] == "ntpguard";
    listed.as_array().unwrap().iter().filter(ours).count()
}
