//! `--hook tc`: the same verdicts at another hook, and the same life.

use nix::sys::{
    sendfile::sendfile,
    signal::Signal,
    socket::{MsgFlags, send},
};
use ntpguard::{
    bpf::{Guard, Object, Size, at_tc},
    compile::Hardening,
    daemon::dialect::Dialect,
    policy::limiter::Bounds,
};
use ntpguard_common::{Action, Reason};
use ntpguard_tests::{
    agreement::{Agreement, agreement},
    client::{ask, flood},
    fixture::{compile, path},
    frame::{Frame, SERVER_V4 as SERVER, payload},
    guard::{Guarding, command},
    home::Home,
    judged::{Judged, kernel, through},
    load::{CLIENT, Through, under_load},
    netns::{INTERFACE, Lab},
    ntpd::Ntpd,
};
use serde_json::Value;
use std::{fs, io::Write as _, net::UdpSocket, os::fd::AsRawFd as _, thread, time::Duration};

const FRAMES: usize = 20_000;
/// Golden packets that a test run of a tc program refuses: those in several buffers, and those without a whole IP header.
const LEFT_OUT: usize = 11;
/// The first kernel with tcx.
const HAS_TCX: (u32, u32) = (6, 6);
/// A configuration that serves the client, without `limited`, which NTPsec's own default has.
const PLAIN: &str = "restrict default nomodify nopeer noquery\nrestrict 198.18.0.0 mask 255.254.0.0 nopeer noquery\nrestrict 203.0.113.66 ignore\n";
/// Number of sources, each of which earns a kiss.
const SOURCES: u64 = 20;

#[test]
fn the_golden_packets_come_to_the_same() {
    let Judged { run, left_out } = through(Object::Tc);
    println!("{run} golden packets; {} that no test run takes: {left_out:?}", left_out.len());
    assert!(run > 100 && left_out.len() <= LEFT_OUT, "{left_out:?}");
}

#[test]
fn host_and_kernel_agree_on_20_000_frames() {
    let Agreement { judged, dropped, left_out, differing, .. } = agreement(Object::Tc, FRAMES);
    println!(
        "{FRAMES} frames: {judged} to port 123, {dropped} dropped, {left_out} that no test run takes; host and kernel differ on {differing}"
    );
    assert_eq!(differing, 0);
    assert!(judged > FRAMES / 4 && dropped > FRAMES / 8 && left_out < FRAMES / 10);
}

/// Where XDP would answer, the packet passes to the daemon, and is counted as what it is.
#[test]
fn what_earns_a_kiss_passes() {
    let files = tempfile::tempdir().unwrap();
    let conf = files.path().join("ntp.conf");
    fs::write(&conf, "restrict default limited kod nomodify noquery\n").unwrap();
    let bounds = Bounds { kisses: Some(100), ..Bounds::default() };
    let image = compile(Some(&conf), Dialect::Ntp428, Hardening::ALL).unwrap().image.bounded(bounds);
    let frames: Vec<_> = (1..=SOURCES)
        .map(|host| Frame::from(&format!("192.0.2.{host}"), 40000).payload(&payload::time(3, 4)).build())
        .collect();
    let [kissed, passed] = [Object::Filter, Object::Tc].map(|object| {
        let mut guard = Guard::load(object, Size::new(1 << 12)).unwrap();
        guard.install(&image).unwrap();
        let mut counts = [0; 3];
        for frame in frames.iter().cycle().take(frames.len() * 20) {
            let run = guard.test_run(frame, 1, None).unwrap();
            counts[run.action as usize] += 1;
            assert!(run.action == Action::Transmit || run.frame == *frame, "nothing is changed");
        }
        let counted = guard.maps.counters(false).unwrap();
        let reasons = [Reason::Time, Reason::Limited, Reason::Kod].map(|reason| counted.of(reason).packets);
        println!("{object:?}: {reasons:?} served, limited, kissed");
        assert_eq!(counts, reasons);
        counts
    });
    assert!(kissed[2] >= SOURCES, "{kissed:?}");
    assert_eq!(passed, [kissed[0] + kissed[2], kissed[1], 0]);
}

#[test]
fn tcx_or_a_word_about_the_kernel() {
    let lab = Lab::new().unwrap();
    let guard = Guarding::start(&lab.server, &path("pool.conf"), &["--hook", "tc"]);
    if kernel() < HAS_TCX {
        let words = format!("{:#}", guard.err().expect("no tcx"));
        assert!(words.contains("has no tcx") && words.contains("Linux 6.6"), "{words}");
        return;
    }
    let mut guard = guard.unwrap();
    let Value::Object(attached) = &guard.attached else { panic!("{}", guard.attached) };
    assert_eq!((&attached["hook"], &attached["mode"]), (&"tc".into(), &Value::Null));
    flood(&lab.outside, "192.0.2.2", SERVER, payload::MONLIST, 50).unwrap();
    flood(&lab.outside, "2001:db8::2", "2001:db8::1", payload::READVAR, 25).unwrap();
    let line = (0..50).map(|_| guard.line().unwrap()).find(|line| line["dropped"]["packets"] == 75);
    let reasons = &line.expect("the counters come while it runs")["reasons"];
    assert_eq!((&reasons["mode7"]["packets"], &reasons["mode6"]["packets"]), (&50.into(), &25.into()));
    assert!(guard.end(Signal::SIGTERM).unwrap().status.success());
    // The filter ends with its process.
    programs(&lab, 0);
}

#[test]
fn what_it_cannot_do_is_refused() {
    let lab = Lab::new().unwrap();
    let pool = path("pool.conf").to_str().unwrap().to_owned();
    for (options, code, words) in [
        (&["--trace"][..], 64, "--hook tc has none"),
        (&["--xdp-mode", "generic"], 64, "--xdp-mode is XDP's"),
        (&["--kod", "xdp"], 64, "can't send kisses"),
        (&["--interface", "lo"], 2, "name the network card"),
    ] {
        let arguments = ["run", "--interface", INTERFACE, "--config", &pool, "--hook", "tc"];
        let output = command(&lab.server, &[&arguments, options].concat()).unwrap().output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && said.contains(words), "{options:?}: {said}");
    }
}

#[test]
fn a_daemon_is_guarded_where_another_program_holds_xdp() {
    let lab = Lab::new().unwrap();
    lab.address(CLIENT).unwrap();
    let files = tempfile::tempdir().unwrap();
    let conf = files.path().join("ntp.conf");
    fs::write(&conf, PLAIN).unwrap();
    // The other filter lets everything pass.
    let other = Guarding::start(&lab.server, &conf, &["--monitor"]).unwrap();
    let refused = Guarding::start(&lab.server, &conf, &[]).err().expect("XDP is taken").to_string();
    assert!(
        refused.contains("another XDP program holds ntp0") && refused.contains("`--hook tc`"),
        "{refused}"
    );
    let guard = Guarding::start(&lab.server, &conf, &["--hook", "tc"]).unwrap();
    // Only the host itself may query the daemon's counters.
    let daemon = Ntpd::start(&lab.server, &format!("{PLAIN}restrict 127.0.0.1\nrestrict ::1\n")).unwrap();
    let answers = |bytes: &[u8], count| ask(&lab.outside, CLIENT, SERVER, bytes, count).unwrap().answers;
    assert_eq!((answers(&payload::time(3, 4), 20), answers(payload::READVAR, 2)), (20, 0));
    assert_eq!(daemon.sysstat("restricted").unwrap(), 0);
    drop(daemon);
    through_whole(&lab, "behind XDP", || Ok(()));
    let totals = guard.end(Signal::SIGTERM).unwrap().totals.unwrap();
    assert!(totals["reasons"]["mode7"]["packets"].as_u64().unwrap() > 100, "{totals}");
    assert!(other.end(Signal::SIGTERM).unwrap().status.success());
}

/// A payload in pages of a file, which the kernel sends behind the headers without copying them.
#[test]
fn a_payload_in_pages_of_its_own_is_read() {
    let lab = Lab::new().unwrap();
    let guard = Guarding::start(&lab.server, &path("pool.conf"), &["--hook", "tc"]).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(payload::MONLIST).unwrap();
    lab.outside.enter(|| {
        let socket = UdpSocket::bind("192.0.2.2:0").unwrap();
        socket.connect((SERVER, 123)).unwrap();
        for _ in 0..10 {
            assert_eq!(sendfile(&socket, &file, Some(&mut 0), payload::MONLIST.len()).unwrap(), 8);
        }
    });
    let totals = guard.end(Signal::SIGTERM).unwrap().totals.unwrap();
    let mode7 = &totals["reasons"]["mode7"];
    assert_eq!((&mode7["packets"], &mode7["bytes"]), (&10.into(), &(10 * (14 + 20 + 8 + 8)).into()));
}

/// What is judged lies before the pages, so that the packet is judged only once.
#[test]
fn a_packet_with_pages_is_judged_once() {
    let lab = Lab::new().unwrap();
    let files = tempfile::tempdir().unwrap();
    let conf = files.path().join("ntp.conf");
    fs::write(&conf, PLAIN).unwrap();
    let guard = Guarding::start(&lab.server, &conf, &["--hook", "tc"]).unwrap();
    let _taken = lab.server.enter(|| UdpSocket::bind("0.0.0.0:123").unwrap());
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[0; 28]).unwrap();
    lab.outside.enter(|| {
        let socket = UdpSocket::bind("192.0.2.2:0").unwrap();
        socket.connect((SERVER, 123)).unwrap();
        for _ in 0..10 {
            // An extension field of 32 bytes, of which the daemons read only the head.
            let request = [payload::time(3, 4).as_slice(), &[0, 0, 0, 32]].concat();
            assert_eq!(
                send(socket.as_raw_fd(), &request, MsgFlags::from_bits_retain(nix::libc::MSG_MORE)).unwrap(),
                request.len()
            );
            assert_eq!(sendfile(&socket, &file, Some(&mut 0), 28).unwrap(), 28);
        }
    });
    let totals = guard.end(Signal::SIGTERM).unwrap().totals.unwrap();
    assert_eq!(totals["reasons"]["time"]["packets"], 10, "{totals}");
}

#[test]
fn on_trial_everything_passes_and_is_counted() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, PLAIN).unwrap();
    home.attach_with("--hook tc --monitor").unwrap();
    let Through { attacks, leaked, .. } = under_load(&lab, || {
        thread::sleep(Duration::from_millis(300));
        Ok(())
    })
    .unwrap();
    let status = home.status().unwrap();
    assert_eq!((leaked, &status["would_drop"]), (attacks, &attacks.into()), "{status}");
    assert_eq!(status["dropped"], 0, "nothing was dropped: {status}");
    home.run("enforce").unwrap();
    through_whole(&lab, "enforced", || Ok(()));
}

#[test]
fn its_life_is_as_with_xdp() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, PLAIN).unwrap();
    let said = home.attach_with("--hook tc").unwrap();
    assert!(said.contains("guarding ntp0, tc (tcx)\n"), "{said}");
    let guarded =
        |said: &Value| (said["interfaces"][0]["hook"].clone(), said["interfaces"][0]["program"].clone());
    let (hook, program) = guarded(&home.status().unwrap());
    assert_eq!(hook, "tc");
    assert!(program.is_u64(), "{program}");
    programs(&lab, 1);
    flood(&lab.outside, "192.0.2.2", SERVER, payload::MONLIST, 10).unwrap();
    // Commands that don't name the hook keep the present one.
    home.run("reload").unwrap();
    let (hook, reloaded) = guarded(&home.status().unwrap());
    // The same build leaves its program in place.
    assert!(hook == "tc" && reloaded == program, "{hook} {program} {reloaded}");
    programs(&lab, 1);
    let guard = home.guarding_with(&["--hook", "tc"]).unwrap();
    assert_eq!((&guard.attached["taken_over"], &guard.attached["hook"]), (&true.into(), &"tc".into()));
    assert!(!guard.end(Signal::SIGKILL).unwrap().status.success());
    programs(&lab, 1);
    flood(&lab.outside, "192.0.2.2", SERVER, payload::MONLIST, 10).unwrap();
    assert_eq!(home.status().unwrap()["dropped"], 20, "the counters go on");
    assert_eq!(guarded(&home.status().unwrap()).0, "tc");
    let text = String::from_utf8(home.output("status").unwrap().stdout).unwrap();
    assert!(text.starts_with("guarding ntp0, tc (tcx), program "), "{text}");
    home.run(&format!("detach --interface {INTERFACE}")).unwrap();
    programs(&lab, 0);
    home.attach_with("--hook tc").unwrap();
    home.run("detach --all").unwrap();
    assert_eq!(home.pins().unwrap(), 0);
    programs(&lab, 0);
}

#[test]
fn an_interface_that_comes_back_is_guarded_again() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, PLAIN).unwrap();
    let bridge = || lab.server.run("ip link add br0 type bridge").unwrap();
    bridge();
    let _guard = home.guarding_with(&["--hook", "tc", "--interface", "br0"]).unwrap();
    let hook = || {
        let status = home.status().unwrap();
        let all = status["interfaces"].as_array().unwrap().clone();
        all.into_iter().find(|one| one["interface"] == "br0").map(|one| one["hook"].clone())
    };
    assert_eq!(hook(), Some("tc".into()));
    lab.server.run("ip link delete br0").unwrap();
    assert_eq!(hook(), None);
    bridge();
    let back = (0..100).any(|_| {
        thread::sleep(Duration::from_millis(50));
        hook() == Some("tc".into())
    });
    assert!(back, "not within 5 s");
}

#[test]
fn a_switch_of_hooks_leaves_no_gap() {
    for (mode, name) in [("generic", "generic XDP"), ("native", "native XDP")] {
        let lab = Lab::new().unwrap();
        lab.address(CLIENT).unwrap();
        // Otherwise veth reinitialises its queue whenever native XDP is attached or detached, and drops what is in it.
        lab.server.run(&format!("ethtool -K {INTERFACE} gro on")).unwrap();
        let home = Home::new(&lab.server, PLAIN).unwrap();
        let xdp = format!("--xdp-mode {mode}");
        home.attach_with(&xdp).unwrap();
        through_whole(&lab, &format!("10 switches from and to {name}"), || {
            for round in 0..10 {
                let (options, how) = [("--hook tc", "tc (tcx)"), (&xdp, name)][round % 2];
                let said = home.attach_with(options)?;
                let expected = format!("guarding {INTERFACE}, {how}, taken over without a gap");
                anyhow::ensure!(said.contains(&expected), "{said}");
                programs(&lab, 1 - round % 2);
            }
            Ok(())
        });
        assert_eq!(home.pins().unwrap(), 19, "one hold, one program, one folder of maps");
    }
}

/// Runs work under load, and checks that nothing leaks and nothing is lost.
fn through_whole(lab: &Lab, name: &str, work: impl FnOnce() -> anyhow::Result<()>) {
    let through = under_load(lab, || {
        thread::sleep(Duration::from_millis(200));
        work()
    });
    let through @ Through { asked, arrived, attacks, leaked } = through.unwrap();
    println!("{name}: {through:?}");
    assert!(asked > 100 && attacks > 100);
    assert_eq!((leaked, asked - arrived), (0, 0), "{name}");
}

/// Checks that the server's interface has this many programs at tc's ingress, now or soon. The kernel releases a link some
/// time after its last file is closed (kernel/bpf/syscall.c:bpf_link_put).
fn programs(lab: &Lab, expected: usize) {
    let count = || lab.server.enter(|| at_tc(INTERFACE)).unwrap().len();
    let settled = (0..100).any(|_| {
        let settled = count() == expected;
        if !settled {
            thread::sleep(Duration::from_millis(20));
        }
        settled
    });
    assert!(settled, "{} at tc's ingress, and not {expected}", count());
}
