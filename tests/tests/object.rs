//! The BPF object itself: other loaders take it, and what it costs.

use ntpguard::{
    bpf::{Guard, Object, Size},
    compile::Hardening,
    daemon::dialect::Dialect,
};
use ntpguard_common::{Action, Decision, decide};
use ntpguard_tests::{
    fixture::{DIALECTS, compile, path},
    frame::{Frame, payload},
};
use std::{fs, process::Command};

/// bpftool takes it, and shows instructions of the second version of the instruction set (Linux 4.14): "less than" and "less
/// or equal", unsigned and signed. A nested cargo might leave the option out in silence (`ntpguard/build.rs`).
#[test]
fn bpftool_loads_it() {
    let files = tempfile::tempdir().unwrap();
    let object = files.path().join("ntpguard.o");
    fs::write(&object, Object::Filter.bytes()).unwrap();
    let bpffs = files.path().join("bpf");
    fs::create_dir(&bpffs).unwrap();
    // A mount of its own, in a mount namespace of its own: pins go with the process.
    let script = "mount -t bpf bpf \"$1\" && bpftool prog load \"$0\" \"$1/ntpguard\" && bpftool prog show pinned \"$1/ntpguard\" \
                  && bpftool prog dump xlated pinned \"$1/ntpguard\"";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .args([&object, &bpffs])
        .output()
        .unwrap();
    let said =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("xdp  name ntpguard"), "{said}");
    let second_version =
        ["a5", "ad", "b5", "bd", "c5", "cd", "d5", "dd"].map(|code| format!(": ({code}) if "));
    let count = said.lines().filter(|line| second_version.iter().any(|code| line.contains(code))).count();
    println!("{count} jumps that the first version doesn't have");
    assert!(count > 20, "built for the first version of the instruction set: {count}");
}

/// The form without frags is the same code.
#[test]
fn both_forms_have_the_same_instructions() {
    let [frags, linear] = [Object::Filter, Object::Linear].map(|object| {
        let mut guard = Guard::load(object, Size::new(1 << 12)).unwrap();
        (guard.figures().unwrap(), guard.tag().unwrap())
    });
    assert_eq!(frags, linear);
}

/// Figures, not a timed test: absolute times are noise on a shared machine.
#[test]
fn what_a_packet_costs() {
    let image = compile(Some(&path("hosting.conf")), Dialect::Ntp426, Hardening::ALL).unwrap().image;
    let mut guard = Guard::load(Object::Filter, Size::new(1 << 12)).unwrap();
    guard.install(&image).unwrap();
    let mut floor = Guard::load(Object::Floor, Size::new(1 << 12)).unwrap();
    println!("verifier: {} instructions walked", guard.verified_instructions().unwrap());

    let monlist = Frame::from("192.0.2.66", 40000).payload(payload::MONLIST).build();
    let ignored = Frame::from("192.0.2.66", 40000).payload(&payload::time(3, 4)).build();
    let ignored6 = Frame::from("2001:db8::66", 40000).payload(&payload::time(3, 4)).build();
    let allowed = Frame::from("203.0.113.123", 123).payload(&payload::time(4, 4)).build();
    let dns = Frame::from("203.0.113.123", 53).to_port(40000).payload(&payload::time(4, 4)).build();
    for (name, frame, action) in [
        ("monlist dropped", &monlist, Action::Drop),
        ("ignored source dropped", &ignored, Action::Drop),
        ("ignored IPv6 source dropped", &ignored6, Action::Drop),
        ("time packet passed", &allowed, Action::Pass),
        ("other UDP passed", &dns, Action::Pass),
    ] {
        let decision = decide(frame.as_slice(), &image);
        assert_eq!(decision.action(), action, "{name}");
        assert_eq!(matches!(decision, Decision::NotNtp), name.starts_with("other"), "{name}");
        assert_eq!(guard.test_run(frame, 1, None).unwrap().action, action, "{name}");
        let (with, without) = alternate(&mut guard, &mut floor, frame);
        println!(
            "{name}: {with} ns, bare XDP_DROP {without} ns: {} ns over it",
            with.saturating_sub(without)
        );
    }
}

/// As above: a source over its limit, again and again, which nothing but its account is needed for.
#[test]
fn what_a_limited_source_costs() {
    let files = tempfile::tempdir().unwrap();
    let conf = files.path().join("ntp.conf");
    fs::write(&conf, "restrict default limited nomodify noquery\n").unwrap();
    let mut floor = Guard::load(Object::Floor, Size::new(1)).unwrap();
    for dialect in DIALECTS {
        let image = compile(Some(&conf), dialect, Hardening::ALL).unwrap().image;
        let mut guard = Guard::load(Object::Filter, Size::new(1 << 18)).unwrap();
        guard.install(&image).unwrap();
        for source in ["203.0.113.7", "2001:db8::7"] {
            let frame = Frame::from(source, 40000).payload(&payload::time(3, 4)).build();
            // Over the limit of every daemon, and of what any takes for doubt.
            guard.test_run(&frame, 1000, None).unwrap();
            assert_eq!(guard.test_run(&frame, 1, None).unwrap().action, Action::Drop);
            let (with, without) = alternate(&mut guard, &mut floor, &frame);
            let over = with.saturating_sub(without);
            println!("{dialect}, {source} limited: {with} ns, bare XDP_DROP {without} ns: {over} ns over it");
        }
    }
}

/// The medians of several runs, taken in turns.
fn alternate(guard: &mut Guard, floor: &mut Guard, frame: &[u8]) -> (u128, u128) {
    const REPEAT: u32 = 1_000_000;
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..5 {
        for (program, times) in [&mut *guard, &mut *floor].into_iter().zip(&mut times) {
            times.push(program.test_run(frame, REPEAT, None).unwrap().duration.as_nanos());
        }
    }
    let [with, without] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    (with, without)
}
