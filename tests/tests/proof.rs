//! Proof of life: a filter is reported as guarding only if it runs, whatever the kernel reports as attached.

use nix::sys::signal::Signal;
use ntpguard::host::queues;
use ntpguard_tests::{
    client::{Wire, ask},
    following::wait_for,
    frame::{Frame, SERVER_V4 as SERVER, payload},
    home::Home,
    netns::{INTERFACE, Lab},
    prometheus::get,
    stranger,
};
use serde_json::Value;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

const METRICS: &str = "127.0.0.1:9123";
const CONF: &str = "restrict default nomodify noquery\nrestrict 127.0.0.1\n";

/// The exit code of `status`, and its report about the first interface.
fn status(home: &Home<'_>) -> (i32, Value) {
    let output = home.output("status --format json").unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    (output.status.code().unwrap(), said["interfaces"][0].clone())
}

/// Sends monlist without a pause while something is done.
fn with_traffic<T>(lab: &Lab, work: impl FnOnce() -> T) -> T {
    with(lab, &Frame::from("192.0.2.2", 40_000).payload(payload::MONLIST), work)
}

/// Sends a frame repeatedly while something is done. It is sent as a raw frame, without a neighbour entry, since a program
/// that drops everything drops ARP too.
fn with<T>(lab: &Lab, frame: &Frame, work: impl FnOnce() -> T) -> T {
    let (done, frame) = (AtomicBool::new(false), frame.build());
    thread::scope(|scope| {
        scope.spawn(|| {
            let wire = Wire::open(&lab.outside).unwrap();
            while !done.load(Ordering::Relaxed) {
                (0..200).for_each(|_| wire.send(&frame).unwrap());
                thread::sleep(Duration::from_millis(10));
            }
        });
        let came = work();
        done.store(true, Ordering::Relaxed);
        came
    })
}

#[test]
fn what_runs_is_told_from_what_is_too_quiet() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    home.attach().unwrap();
    let (code, quiet) = status(&home);
    assert_eq!((code, quiet["life"].as_str()), (0, Some("unknown")), "{quiet}");
    let start = Instant::now();
    let (code, busy) = with_traffic(&lab, || status(&home));
    assert_eq!((code, busy["life"].as_str()), (0, Some("runs")), "{busy}, after {:?}", start.elapsed());
    assert!(busy["seen"].as_u64() >= Some(100), "{busy}");
    let text = with_traffic(&lab, || home.output("status").unwrap());
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.starts_with(&format!("guarding {INTERFACE}, native XDP, program ")), "{text}");
    assert!(text.lines().next().unwrap().contains(", runs: "), "{text}");
}

/// Each queue is judged by its driver's count, and a queue that receives only NTP isn't considered lost.
#[test]
fn queues_that_run_the_filter_are_not_lost() {
    let lab = Lab::new().unwrap();
    let four = "numrxqueues 4 numtxqueues 4";
    for line in [
        format!("ip link add wide0 {four} type veth peer name wide1 {four}").as_str(),
        "ip link set wide0 up",
        "ip link set wide1 up",
    ] {
        lab.server.run(line).unwrap();
    }
    let received = || lab.server.enter(|| queues::received("wide0")).unwrap();
    assert_eq!(received().into_keys().collect::<Vec<_>>(), [0, 1, 2, 3], "the driver's names are known");
    let home = Home::new(&lab.server, CONF).unwrap();
    home.run(&home.attaching().replacen(INTERFACE, "wide0", 1)).unwrap();
    // Other traffic comes by one flow, and so by one queue; NTP comes by all queues.
    let frame = |port, to| Frame::from("192.0.2.2", port).to_port(to).payload(payload::MONLIST).build();
    let frames: Vec<_> = (40_000..40_064).map(|port| frame(port, 123)).chain([frame(53, 40_000)]).collect();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let wire = Wire::open_on(&lab.server, "wide1").unwrap();
            while !done.load(Ordering::Relaxed) {
                (0..10).for_each(|_| frames.iter().for_each(|frame| wire.send(frame).unwrap()));
                thread::sleep(Duration::from_millis(10));
            }
        });
        let before = received();
        let found: Vec<_> = (0..3).map(|_| status(&home)).collect();
        let after = received();
        done.store(true, Ordering::Relaxed);
        for (code, interface) in found {
            assert_eq!((code, interface["life"].as_str()), (0, Some("runs")), "{interface}");
            assert_eq!(interface["lost_queues"], serde_json::json!([]), "{interface}");
        }
        let came: Vec<_> = after.iter().map(|(queue, count)| count - before[queue]).collect();
        println!("frames by queue: {came:?}");
        assert!(came.iter().all(|count| *count >= 100), "{came:?}");
    });
}

/// On most hosts, frames that aren't NTP are the proof.
#[test]
fn other_traffic_proves_it_too() {
    let lab = Lab::new().unwrap();
    for hook in ["", "--xdp-mode generic", "--hook tc"] {
        let home = Home::new(&lab.server, CONF).unwrap();
        home.attach_with(hook).unwrap();
        let dns = Frame::from("192.0.2.2", 53).to_port(40_000).payload(&payload::time(4, 4));
        let (code, interface) = with(&lab, &dns, || status(&home));
        assert_eq!((code, interface["life"].as_str()), (0, Some("runs")), "{hook}: {interface}");
        assert_eq!(interface["dropped"], 0);
        home.run("detach --all").unwrap();
    }
}

/// At tc, behind a program that drops everything, the filter is attached, but no frame reaches it.
#[test]
fn a_filter_that_no_frame_reaches_is_not_run() {
    let lab = Lab::new().unwrap();
    stranger::settle(&lab).unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    home.attach_with("--hook tc").unwrap();
    let (code, quiet) = status(&home);
    assert_eq!((code, quiet["life"].as_str()), (0, Some("unknown")), "{quiet}");
    let (code, interface) = with_traffic(&lab, || status(&home));
    assert_eq!((code, interface["life"].as_str()), (2, Some("not run")), "{interface}");
    assert_eq!(interface["seen"], 0);
    let output = with_traffic(&lab, || home.output("status").unwrap());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with(&format!("NOT GUARDING {INTERFACE}: attached (tc (tcx), program ")), "{text}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&format!("the filter doesn't run on {INTERFACE}: ")), "{said}");

    // When the other program is gone, frames arrive.
    lab.server.run(&format!("ip link set dev {INTERFACE} xdp off")).unwrap();
    let (code, interface) = with_traffic(&lab, || status(&home));
    assert_eq!((code, interface["life"].as_str()), (0, Some("runs")), "{interface}");
}

/// Somebody detaches the program, and leaves the pins.
#[test]
fn a_filter_that_was_taken_off_is_not_run() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    home.attach().unwrap();
    assert_eq!(ask(&lab.outside, "192.0.2.2", SERVER, payload::MONLIST, 3).unwrap().answers, 0);
    let links: Value = serde_json::from_str(&lab.server.run("bpftool -j link show").unwrap()).unwrap();
    let program = status(&home).1["program"].clone();
    let mut ours = links.as_array().unwrap().iter().filter(|link| link["prog_id"] == program);
    let id = ours.next().unwrap_or_else(|| panic!("{links}"))["id"].as_u64().unwrap();
    lab.server.run(&format!("bpftool link detach id {id}")).unwrap();
    let (code, interface) = status(&home);
    assert_eq!((code, interface["life"].as_str(), &interface["program"]), (2, Some("not run"), &Value::Null));
    // The command that it recommends helps.
    let output = home.output("status").unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&format!("ntpguard attach --interface {INTERFACE}")), "{said}");
    home.attach().unwrap();
    thread::sleep(Duration::from_millis(10));
    let (code, interface) = with_traffic(&lab, || status(&home));
    assert_eq!((code, interface["life"].as_str()), (0, Some("runs")), "{interface}");
}

/// `run` reports it once, with what to do, and its metrics report it too.
#[test]
fn a_running_process_says_so_too() {
    let lab = Lab::new().unwrap();
    stranger::settle(&lab).unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    let guard = home.guarding_with(&["--hook", "tc", "--metrics", METRICS]).unwrap();
    let shows = |value: &str| {
        let line = format!("ntpguard_interface_guarded{{interface=\"{INTERFACE}\"}} {value}");
        wait_for(&line, || {
            get(&lab.server, METRICS, "/metrics", "").is_ok_and(|got| got.body.contains(&line))
        });
    };
    shows("NaN");
    with_traffic(&lab, || shows("0.0"));
    lab.server.run(&format!("ip link set dev {INTERFACE} xdp off")).unwrap();
    with_traffic(&lab, || shows("1.0"));
    let said = guard.end(Signal::SIGTERM).unwrap().errors;
    let lost = format!("the filter doesn't run on {INTERFACE}, though it is attached there:");
    assert_eq!(said.matches(&lost).count(), 1, "{said}");
    assert!(said.contains("  try: look which program before it takes the frames"), "{said}");
    assert!(said.contains(&format!("the filter runs on {INTERFACE} again")), "{said}");
    assert!(said.lines().filter(|line| line.contains("filter")).all(|line| line.len() <= 120), "{said}");
}
