//! The demo: the figures in its table, and that nothing of it stays when it is interrupted at bad moments.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// An environment variable of the demo, which all its child processes inherit.
const MARK: &str = "NTPGUARD_DEMO_UNDER_TEST=1";

/// One test looks for programs that are left, so the other one's programs mustn't be loaded meanwhile.
static ALONE: Mutex<()> = Mutex::new(());

/// The demo's figures: without ntpguard the victim got every packet of every list, and with it not a byte.
#[test]
fn the_victim_gets_whole_lists_and_behind_the_guard_not_a_byte() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new(env!("CARGO_BIN_EXE_demo")).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{errors}\n{shown}");
    assert!(shown.contains("a stand-in for ntpd 4.2.6p5"), "it is named as one: {shown}");
    // The columns: sent, without ntpguard, and with it.
    let row = |name: &str| -> Vec<u64> {
        let table = shown.split("3. What came of it").nth(1).unwrap();
        let (_, after) = table.split_once("Stand-in for 4.2.6p5").unwrap();
        let line = after.lines().find(|line| line.trim_start().starts_with(name));
        let line = line.unwrap_or_else(|| panic!("no row {name:?}: {shown}"));
        line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
    };
    let requests = row("complete lists")[0];
    assert!(requests > 0);
    assert_eq!(row("complete lists"), [requests, requests, 0]);
    assert_eq!(row("packets at the victim"), [requests, 100 * requests, 0]);
    // The last packet is shorter: 596 clients of 72 bytes each, six in a packet.
    let list = 99 * 440 + (8 + 2 * 72);
    assert_eq!(row("bytes at the victim"), [8 * requests, list * requests, 0]);
    let time = row("time requests");
    assert!(time[0] > 0 && time.iter().all(|served| *served == time[0]), "{time:?}");
    // The output while it runs: seconds in which packets reached the victim, and after these, seconds in which none did.
    let seconds = shown.lines().filter(|line| line.contains("at the victim ") && line.contains("bytes/s"));
    let hit: Vec<_> = seconds.map(|line| !line.contains(" 0 bytes/s")).collect();
    assert!(hit.len() > 2 && hit[1] && !hit[hit.len() - 1], "{hit:?} {shown}");
}

#[test]
fn ctrl_c_and_kill_leave_nothing_behind() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = programs();
    // While the daemon starts, in the first flood, with one guard attached, and with both.
    for (signal, moment) in [
        (Signal::SIGINT, "1. Without ntpguard"),
        (Signal::SIGKILL, "at the victim"),
        (Signal::SIGINT, "guarding ntp1"),
        (Signal::SIGKILL, "guarding ntp0"),
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

/// Number of processes that have the variable.
fn children() -> usize {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let marked =
        |environment: Vec<u8>| environment.split(|&byte| byte == 0).any(|one| one == MARK.as_bytes());
    processes.filter(|process| fs::read(process.path().join("environ")).is_ok_and(marked)).count()
}

/// Number of ntpguard's XDP programs in the kernel, attached or not.
fn programs() -> usize {
    let output = Command::new("bpftool").args(["--json", "prog", "list"]).output().unwrap();
    assert!(output.status.success());
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let ours = |program: &&serde_json::Value| program["type"] == "xdp" && program["name"] == "ntpguard";
    listed.as_array().unwrap().iter().filter(ours).count()
}
