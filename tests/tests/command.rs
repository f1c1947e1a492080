//! The command as its users meet it: exit codes, and a message for everything that can go wrong.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use ntpguard_tests::{
    client::flood,
    fixture::path,
    following::wait_for,
    frame::payload,
    guard::{Guarding, command},
    home::Home,
    netns::{INTERFACE, Lab},
};
use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

/// Exit code and standard error of a command that ends by itself.
fn fails(command: &mut Command) -> (i32, String) {
    let output = command.output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!errors.contains("backtrace") && !errors.contains("panicked"), "{errors}");
    (output.status.code().unwrap(), errors)
}

fn run<'a>(interface: &'a str, config: &'a str) -> [&'a str; 5] {
    ["run", "--interface", interface, "--config", config]
}

#[test]
fn every_failure_says_whose_fault_it_is_and_what_to_do() {
    let lab = Lab::new().unwrap();
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = files.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let pool = path("pool.conf").to_str().unwrap().to_owned();
    let zeros = file("zeros.conf", b"restrict default ignore\n\0\0\0\n");
    let long = file("long.conf", &[b"restrict ".to_vec(), vec![b'x'; 2000]].concat());
    let folder = files.path().to_str().unwrap();
    let missing = files.path().join("missing.conf").to_str().unwrap().to_owned();
    for (arguments, code, words) in [
        (&run(INTERFACE, &missing)[..], 1, "can't read"),
        (&run(INTERFACE, folder), 1, "Is a directory"),
        (&run(INTERFACE, &zeros), 1, "is not a text file"),
        (&run(INTERFACE, &long), 1, "long.conf:1:10: a word of 2000 characters"),
        (&run("eth7", &pool), 2, "there is no interface eth7; there are: lo, ntp0"),
        (&run("lo", &pool), 2, "name the network card"),
        (&[], 64, "Usage"),
        (&["run", "--pin-path", "/nowhere", "--interval", "soon"], 64, "as in 500ms, 1.5s, 5m or 1h30m"),
        (&["run", "--interface", INTERFACE, "--interval", "0s"], 64, "more than nothing"),
        (&["run", "--interface", INTERFACE, "--xdp-mode", "fast"], 64, "native"),
    ] {
        let (status, errors) = fails(&mut command(&lab.server, arguments).unwrap());
        assert_eq!(status, code, "{arguments:?}: {errors}");
        assert!(errors.contains(words), "{arguments:?}: {errors}");
    }
    assert!(command(&lab.server, &["--help"]).unwrap().output().unwrap().status.success());
    assert_eq!(lab.attached().unwrap(), [0; 0]);
}

#[test]
fn the_only_interface_that_makes_sense_is_taken_and_said() {
    let lab = Lab::new().unwrap();
    lab.second_wire("ntp1").unwrap();
    let home = Home::new(&lab.server, "restrict default noquery\n").unwrap();
    let conf = home.conf().display().to_string();
    let attach = format!("attach --dialect ntpsec -c {conf}");
    let first = |said: &str| said.lines().next().unwrap_or_default().to_owned();

    // Nothing is guarded, so there is nothing to detach.
    let (status, errors) = fails(&mut home.command("detach").unwrap());
    assert!(status == 2 && errors.contains("nothing is guarded"), "{errors}");
    // The lab's default route is by the first interface.
    let said = home.run(&attach).unwrap();
    assert_eq!(
        first(&said),
        format!(
            "no interface named; taking {INTERFACE}, the only one with a default route; not guarded: ntp1"
        )
    );
    assert_eq!(lab.attached().unwrap().len(), 1);
    let said = home.run("detach").unwrap();
    assert_eq!(first(&said), format!("no interface named; taking {INTERFACE}, the only one that is guarded"));
    assert_eq!(lab.attached().unwrap(), [0; 0]);

    // Two interfaces make sense: neither is taken, and the message says what to type.
    lab.server.run("ip -6 route add default via fe80::1 dev ntp1 metric 9000").unwrap();
    let (status, errors) = fails(&mut home.command(&attach).unwrap());
    assert_eq!(status, 64, "{errors}");
    let both = format!("which interface? `ntpguard attach {INTERFACE}` or `ntpguard attach ntp1`");
    assert!(errors.contains(&both), "{errors}");
    assert_eq!(lab.attached().unwrap(), [0; 0]);

    // Interfaces may be given as positional arguments or by the option; without a name, what is guarded already stays guarded.
    home.run(&format!("{attach} ntp1 -i {INTERFACE}")).unwrap();
    assert_eq!(lab.attached().unwrap().len(), 1);
    let (status, errors) = fails(&mut home.command("detach").unwrap());
    assert!(status == 64 && errors.contains("`ntpguard detach ntp1`, or --all"), "{errors}");
    home.run("detach ntp1").unwrap();
    assert_eq!(
        first(&home.run(&attach).unwrap()),
        format!("no interface named; going on with what is guarded already: {INTERFACE}")
    );
    home.run("detach --all").unwrap();
}

#[test]
fn without_the_right_to_it_says_so() {
    let lab = Lab::new().unwrap();
    let pool = path("pool.conf");
    let guard = command(&lab.server, &run(INTERFACE, pool.to_str().unwrap())).unwrap();
    // All capabilities except those for BPF and networks, as a service without these would have.
    let mut bounded = lab.server.command("setpriv");
    bounded.args(["--bounding-set=-sys_admin,-bpf,-net_admin,-perfmon", "--inh-caps=-all"]);
    bounded.arg(guard.get_program()).args(guard.get_args());
    let (status, errors) = fails(&mut bounded);
    assert_eq!(status, 2, "{errors}");
    assert!(errors.contains("run as root"), "{errors}");
}

#[test]
fn a_second_guard_is_refused_and_the_first_stays() {
    let lab = Lab::new().unwrap();
    let pool = path("pool.conf");
    let first = Guarding::start(&lab.server, &pool, &[]).unwrap();
    let attached = lab.attached().unwrap();
    for mode in ["auto", "native", "generic"] {
        let arguments = [&run(INTERFACE, pool.to_str().unwrap())[..], &["--xdp-mode", mode]].concat();
        let (status, errors) = fails(&mut command(&lab.server, &arguments).unwrap());
        assert_eq!(status, 2, "{errors}");
        assert!(errors.contains("another XDP program holds ntp0"), "{mode}: {errors}");
    }
    assert_eq!(lab.attached().unwrap(), attached);
    assert!(first.end(Signal::SIGTERM).unwrap().status.success());
    assert_eq!(lab.attached().unwrap(), [0; 0]);
}

#[test]
fn a_driver_without_native_xdp_gets_generic_and_a_word() {
    let lab = Lab::new().unwrap();
    lab.server.run("ip link add br0 type bridge").unwrap();
    lab.server.run("ip link set br0 up").unwrap();
    let pool = path("pool.conf");
    let native = ["run", "--interface", "br0", "--xdp-mode", "native", "--config", pool.to_str().unwrap()];
    let (status, errors) = fails(&mut command(&lab.server, &native).unwrap());
    assert_eq!(status, 2, "{errors}");
    assert!(errors.contains("the driver of br0 has no native XDP"), "{errors}");

    // Both at once: native on the wire and generic on the bridge, with a line about each.
    let mut guard = Guarding::start(&lab.server, &pool, &["--interface", "br0"]).unwrap();
    assert_eq!(
        (&guard.attached["interface"], &guard.attached["mode"]),
        (&INTERFACE.into(), &"native".into())
    );
    assert!(guard.attached["fallback"].is_null());
    let second = guard.line().unwrap();
    assert_eq!((&second["interface"], &second["mode"]), (&"br0".into(), &"generic".into()));
    assert_eq!(second["fallback"], "the driver of br0 has no native XDP");
    assert!(guard.end(Signal::SIGTERM).unwrap().status.success());
}

#[test]
fn every_mode_drops_and_counts() {
    for (mode, trace) in [("native", false), ("generic", false), ("native", true)] {
        let lab = Lab::new().unwrap();
        let options = [&["--xdp-mode", mode][..], if trace { &["--trace"] } else { &[] }].concat();
        let mut guard = Guarding::start(&lab.server, &path("pool.conf"), &options).unwrap();
        assert_eq!(guard.attached["mode"], mode);
        flood(&lab.outside, "192.0.2.2", "192.0.2.1", payload::MONLIST, 50).unwrap();
        flood(&lab.outside, "2001:db8::2", "2001:db8::1", payload::READVAR, 25).unwrap();
        let seen = (0..50).map(|_| guard.line().unwrap()).find(|line| line["dropped"]["packets"] == 75);
        let seen = seen.expect("the counters come while it runs");
        // pool.conf's default lines have `noquery`.
        assert_eq!(seen["reasons"]["noquery"]["packets"], 0, "{mode}: nobody may query, so no rule is asked");
        assert_eq!(
            (&seen["reasons"]["mode7"]["packets"], &seen["reasons"]["mode6"]["packets"]),
            (&50.into(), &25.into())
        );
        let ended = guard.end(Signal::SIGTERM).unwrap();
        assert_eq!(
            ended.errors.lines().filter(|line| line.starts_with("trace: mode7 from 192.0.2.2 port ")).count(),
            if trace { 50 } else { 0 }
        );
        assert_eq!(ended.totals.unwrap()["event"], "totals");
    }
}

#[test]
fn an_odd_line_is_reported_and_the_rest_is_enforced() {
    let lab = Lab::new().unwrap();
    let files = tempfile::tempdir().unwrap();
    let conf = files.path().join("ntp.conf");
    fs::write(&conf, "restrict default IGNORE\nrestrict no-such-name.invalid\nrestrict 192.0.2.2 ignore\n")
        .unwrap();
    let guard = Guarding::start(&lab.server, &conf, &[]).unwrap();
    flood(&lab.outside, "192.0.2.2", "192.0.2.1", &payload::time(3, 4), 5).unwrap();
    let ended = guard.end(Signal::SIGTERM).unwrap();
    assert_eq!(ended.totals.unwrap()["reasons"]["ignore"]["packets"], 5);
    let errors = ended.errors;
    assert!(
        errors.contains("ntp.conf:1:18: error: `IGNORE` is no flag")
            && errors.contains("did you mean `ignore`?"),
        "{errors}"
    );
    assert!(errors.contains("ntp.conf:2:1: warning: `no-such-name.invalid` is no address"), "{errors}");
}

#[test]
fn of_many_odd_lines_none_goes_unsaid() {
    let lab = Lab::new().unwrap();
    let files = tempfile::tempdir().unwrap();
    let conf = files.path().join("ntp.conf");
    // Several times the number of lines kept for a slow reader, but in bytes less than a pipe holds, since it is read at the end.
    const LINES: usize = 300;
    fs::write(&conf, "restrict 192.0.2.7 bogus\n".repeat(LINES)).unwrap();
    let errors = Guarding::start(&lab.server, &conf, &[]).unwrap().end(Signal::SIGTERM).unwrap().errors;
    assert_eq!(errors.lines().filter(|line| line.contains("`bogus` is no flag")).count(), LINES);
}

#[test]
fn it_needs_no_bpffs() {
    let lab = Lab::new().unwrap();
    let pool = path("pool.conf");
    let guard = command(&lab.server, &run(INTERFACE, pool.to_str().unwrap())).unwrap();
    let mut hidden = lab.server.command("unshare");
    hidden.args([
        "--mount",
        "sh",
        "-c",
        "mount -t tmpfs none /sys/fs && exec timeout --signal=INT 1 \"$0\" \"$@\"",
    ]);
    let output = hidden.arg(guard.get_program()).args(guard.get_args()).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(said.contains("guarding ntp0, native XDP") && said.contains("detached after"), "{said}");
}

#[test]
fn closed_and_stalled_readers_and_a_hang_up_do_not_end_the_guarding() {
    for stalled in [false, true] {
        let lab = Lab::new().unwrap();
        let pool = path("pool.conf");
        let options = ["--trace", "--interval", "10ms"];
        let arguments = [&run(INTERFACE, pool.to_str().unwrap())[..], &options].concat();
        let mut guard = command(&lab.server, &arguments).unwrap();
        let mut guard = guard.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        if !stalled {
            drop((guard.stdout.take(), guard.stderr.take()));
        }
        wait_for("it is attached", || lab.attached().unwrap().len() == 1);
        flood(&lab.outside, "192.0.2.2", "192.0.2.1", payload::MONLIST, 20_000).unwrap();
        let id = Pid::from_raw(guard.id() as i32);
        kill(id, Signal::SIGHUP).unwrap();
        thread::sleep(Duration::from_millis(500));
        assert_eq!(
            (guard.try_wait().unwrap(), lab.attached().unwrap().len()),
            (None, 1),
            "stalled: {stalled}"
        );
        kill(id, Signal::SIGTERM).unwrap();
        wait_for("it ends", || guard.try_wait().unwrap().is_some());
        assert_eq!(guard.wait().unwrap().code(), Some(0), "stalled: {stalled}");
        assert_eq!(lab.attached().unwrap(), [0; 0]);
    }
}

#[test]
fn the_trace_names_source_and_line() {
    let lab = Lab::new().unwrap();
    let guard = Guarding::start(&lab.server, &path("hosting.conf"), &["--trace"]).unwrap();
    flood(&lab.outside, "2001:db8::2", "2001:db8::1", &payload::time(3, 4), 3).unwrap();
    let errors = guard.end(Signal::SIGTERM).unwrap().errors;
    let traced: Vec<_> =
        errors.lines().filter(|line| line.starts_with("trace: ignore from 2001:db8::2 port ")).collect();
    assert_eq!(traced.len(), 3, "{errors}");
    assert!(traced[0].ends_with("hosting.conf:2:1: restrict default ignore"), "{errors}");
}

#[test]
fn an_interface_that_comes_back_is_guarded_again() {
    let lab = Lab::new().unwrap();
    lab.server.run("ip link add br0 type bridge").unwrap();
    let guard = Guarding::start(&lab.server, &path("pool.conf"), &["--interface", "br0"]).unwrap();
    let attached =
        || lab.server.run("ip -details link show dev br0").is_ok_and(|shown| shown.contains("xdpgeneric"));
    wait_for("both are guarded", || attached() && lab.attached().unwrap().len() == 1);
    lab.server.run("ip link delete br0").unwrap();
    thread::sleep(Duration::from_millis(500));
    lab.server.run("ip link add br0 type bridge").unwrap();
    wait_for("it is guarded again", attached);
    let ended = guard.end(Signal::SIGTERM).unwrap();
    assert!(ended.errors.contains("br0 is gone, and nothing guards it until it is back"), "{}", ended.errors);
}

#[test]
fn what_is_no_ethernet_is_refused() {
    let lab = Lab::new().unwrap();
    lab.server.run("ip tuntap add dev tun0 mode tun").unwrap();
    let pool = path("pool.conf");
    let (status, errors) = fails(&mut command(&lab.server, &run("tun0", pool.to_str().unwrap())).unwrap());
    assert_eq!(status, 2, "{errors}");
    assert!(
        errors.contains("tun0 carries IP packets without an Ethernet header")
            && errors.contains("`--hook tc`"),
        "{errors}"
    );
}

#[test]
fn without_hardening_only_the_daemons_reading_is_enforced() {
    let lab = Lab::new().unwrap();
    let guard = Guarding::start(&lab.server, &path("demo.conf"), &["--no-hardening"]).unwrap();
    flood(&lab.outside, "2001:db8::2", "2001:db8::1", payload::READVAR, 5).unwrap();
    let totals = guard.end(Signal::SIGTERM).unwrap().totals.unwrap();
    assert_eq!(
        (&totals["reasons"]["query"]["packets"], &totals["dropped"]["packets"]),
        (&5.into(), &0.into())
    );
}
