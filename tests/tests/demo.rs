//! The demo, cut short at bad moments: nothing of it stays.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// In the environment of the demo and so of all its children.
const MARK: &str = "NTPGUARD_DEMO_UNDER_TEST=1";

#[test]
fn ctrl_c_and_kill_leave_nothing_behind() {
    // While the daemon starts, in the first flood, and when the guard is attached.
    for (signal, after) in
        [(Signal::SIGINT, 300), (Signal::SIGKILL, 2_000), (Signal::SIGINT, 13_500), (Signal::SIGKILL, 13_500)]
    {
        let (name, value) = MARK.split_once('=').unwrap();
        let mut demo = Command::new(env!("CARGO_BIN_EXE_demo"))
            .env(name, value)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(after));
        assert_ne!(children(), 0, "it runs");
        kill(Pid::from_raw(demo.id() as i32), signal).unwrap();
        demo.wait().unwrap();
        let start = Instant::now();
        while (children(), programs()) != (0, 0) {
            assert!(
                start.elapsed() < Duration::from_secs(5),
                "{} processes, {} programs left after {signal} at {after} ms",
                children(),
                programs()
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
    let output = Command::new("bpftool").args(["prog", "show", "name", "ntpguard"]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.contains("xdp")).count()
}
