//! What `ntpguard run` follows by itself: files, trials, interfaces.

use nix::sys::signal::Signal;
use ntpguard_tests::{
    client::{Wire, flood},
    following::{asks, changed, dropped, policy, wait_for},
    frame::{Frame, SERVER_V4 as SERVER, payload},
    guard::Guarding,
    home::Home,
    netns::{INTERFACE, Lab},
};
use serde_json::Value;
use std::{fs, os::unix::fs::symlink, process::Stdio, thread, time::Duration};

const PLAIN: &str = "restrict default nomodify nopeer noquery\n";

/// The standard error of a guard that is ended by this.
fn said(guard: Guarding) -> String {
    let ended = guard.end(Signal::SIGTERM).unwrap();
    assert!(ended.status.success(), "{}", ended.errors);
    ended.errors
}

#[test]
fn files_are_read_again_when_they_change() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, PLAIN).unwrap();
    // A file behind a symbolic link, a file that it includes, and one that it includes but that doesn't exist yet.
    let [real, included, missing] =
        ["real.conf", "included.conf", "missing.conf"].map(|name| home.path().join(name));
    let text = format!("{PLAIN}includefile {}\nincludefile {}\n", included.display(), missing.display());
    fs::write(&real, &text).unwrap();
    fs::write(&included, "").unwrap();
    fs::remove_file(home.conf()).unwrap();
    symlink(&real, home.conf()).unwrap();
    let guard = home.guarding().unwrap();
    let mut number = policy(&home);
    let mut then = |what: &str, lost: u64| {
        number = changed(&home, number);
        let before = dropped(&home);
        asks(&lab, "198.51.100.5", 10);
        assert_eq!(dropped(&home) - before, lost, "{what}");
        number
    };
    fs::write(&included, "restrict 198.51.100.0 mask 255.255.255.0 ignore\n").unwrap();
    then("an included file has a line more", 10);
    fs::write(&included, "").unwrap();
    then("and none", 0);
    fs::write(&missing, "restrict 198.51.100.5 ignore\n").unwrap();
    then("a file that was missing is there", 10);
    let other = home.path().join("other.conf");
    fs::write(&other, PLAIN).unwrap();
    fs::remove_file(home.conf()).unwrap();
    symlink(&other, home.conf()).unwrap();
    then("the link points elsewhere", 0);
    home.write(&format!("{PLAIN}restrict 198.51.100.5 ignore\n")).unwrap();
    let last = then("an editor has put a file in its place", 10);

    // Garbage, and then a folder: the old policy stays, and `status` reports why.
    fs::write(home.conf(), b"\0\x01\x02 garbage").unwrap();
    wait_for("the failure is known", || !home.status().unwrap()["failure"].is_null());
    let failure = home.status().unwrap()["failure"]["message"].as_str().unwrap().to_owned();
    assert!(failure.contains("is not a text file"), "{failure}");
    fs::remove_file(home.conf()).unwrap();
    fs::create_dir(home.conf()).unwrap();
    wait_for("another failure is known", || {
        home.status().unwrap()["failure"]["message"]
            .as_str()
            .is_some_and(|message| message.contains("directory"))
    });
    assert_eq!(policy(&home), last);
    let before = dropped(&home);
    asks(&lab, "198.51.100.5", 10);
    assert_eq!(dropped(&home) - before, 10);
    fs::remove_dir(home.conf()).unwrap();
    home.write(PLAIN).unwrap();
    changed(&home, last);
    // The maps change a moment before the saved state does.
    wait_for("the failure is over", || home.status().unwrap()["failure"].is_null());
    let said = said(guard);
    // Reported once for each change, not at each look; one more if a look falls between two steps of the test.
    assert!((2..=3).contains(&said.matches("the old policy stays: ").count()), "{said}");
    assert!(said.contains(&format!("policy {}: +0 \u{2212}1 rules", last + 1)), "{said}");
}

/// Formerly it wasn't: a file that only a rejected text includes wasn't followed.
#[test]
fn a_mended_include_is_read() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, PLAIN).unwrap();
    let guard = home.guarding().unwrap();
    let first = policy(&home);
    let included = home.path().join("included.conf");
    fs::write(&included, b"restrict 198.51.100.5 ignore\n\0").unwrap();
    home.write(&format!("{PLAIN}includefile {}\n", included.display())).unwrap();
    wait_for("the failure is known", || !home.status().unwrap()["failure"].is_null());
    assert_eq!(policy(&home), first);
    // Long enough for a look at the present file.
    thread::sleep(Duration::from_secs(3));
    fs::write(&included, "restrict 198.51.100.5 ignore\n").unwrap();
    changed(&home, first);
    asks(&lab, "198.51.100.5", 10);
    assert_eq!(dropped(&home), 10);
    let said = said(guard);
    assert_eq!(said.matches("the old policy stays: ").count(), 1, "{said}");
}

#[test]
fn a_trial_counts_and_passes_until_it_is_confirmed() {
    let lab = Lab::new().unwrap();
    lab.address("192.0.2.66").unwrap();
    let home = Home::new(&lab.server, PLAIN).unwrap();
    // Sends five monlist requests. Answers don't matter here: the socket below counts what arrives.
    let reached = || {
        let exchange = flood(&lab.outside, "192.0.2.66", SERVER, payload::MONLIST, 5);
        exchange.is_err() || exchange.unwrap().answers > 0
    };
    let socket = lab.server.enter(|| std::net::UdpSocket::bind("0.0.0.0:123")).unwrap();
    socket.set_nonblocking(true).unwrap();
    let arrived = || {
        let _ = reached();
        let mut bytes = [0; 512];
        std::iter::from_fn(|| socket.recv(&mut bytes).ok()).count()
    };
    // The numbers of packets that were dropped, and that would have been.
    let counted = || {
        let status = home.status().unwrap();
        [dropped(&home), status["would_drop"].as_u64().unwrap()]
    };
    let guard = home.guarding_with(&["--monitor"]).unwrap();
    assert_eq!((arrived(), counted()), (5, [0, 5]), "counted, and passed");
    assert_eq!(home.status().unwrap()["monitor"], true);

    // Nobody confirms.
    let mut enforce = home.command("enforce --confirm 4s").unwrap().stdin(Stdio::null()).spawn().unwrap();
    wait_for("it drops", || home.status().unwrap()["monitor"] == false);
    assert_eq!((arrived(), counted()), (0, [5, 5]));
    assert_eq!(enforce.wait().unwrap().code(), Some(2));
    wait_for("it is a trial again", || home.status().unwrap()["monitor"] == true);
    assert_eq!((arrived(), counted()), (5, [5, 10]));

    // The process that waits for the confirmation is killed, so `run` itself returns to the trial.
    let mut enforce = home.command("enforce --confirm 4s").unwrap().stdin(Stdio::null()).spawn().unwrap();
    wait_for("it drops", || home.status().unwrap()["monitor"] == false);
    enforce.kill().unwrap();
    enforce.wait().unwrap();
    wait_for("it is a trial again", || home.status().unwrap()["monitor"] == true);

    // Somebody confirms.
    let mut enforce = home.command("enforce --confirm 60s").unwrap().stdin(Stdio::null()).spawn().unwrap();
    wait_for("it drops", || home.status().unwrap()["monitor"] == false);
    home.run("enforce").unwrap();
    assert_eq!(enforce.wait().unwrap().code(), Some(0));
    assert_eq!((arrived(), counted()), (0, [10, 10]));
    let said = said(guard);
    assert!(said.contains("a trial: everything passes"), "{said}");

    // The same without a process beside the filter.
    home.run("monitor").unwrap();
    assert_eq!((arrived(), counted()), (5, [10, 15]));
    let refused = home.output("enforce --confirm 1s").unwrap();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert_eq!((arrived(), counted()), (5, [10, 20]));
    home.run("enforce").unwrap();
    assert_eq!((arrived(), counted()), (0, [15, 20]));
    home.run("detach --all").unwrap();
    assert_eq!(home.output("enforce").unwrap().status.code(), Some(2), "nothing is guarded");
}

#[test]
fn a_policy_that_cuts_off_its_own_servers_needs_a_yes() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, PLAIN).unwrap();
    let guard = home.guarding().unwrap();
    let first = policy(&home);
    home.write("restrict default ignore\nrestrict 127.0.0.1\nserver 198.51.100.5\n").unwrap();
    wait_for("the refusal is known", || !home.status().unwrap()["failure"].is_null());
    assert_eq!(policy(&home), first);
    let said = said(guard);
    assert!(said.contains("198.51.100.5") && said.contains("--yes"), "{said}");
    let refused = home.output(&home.attaching()).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    home.run(&format!("{} --yes", home.attaching())).unwrap();
    assert!(policy(&home) > first);
}

#[test]
fn interfaces_are_counted_apart_and_never_twice() {
    let lab = Lab::new().unwrap();
    lab.second_wire("ntp1").unwrap();
    lab.server.run("ip link add br0 type bridge").unwrap();
    let home = Home::new(&lab.server, PLAIN).unwrap();
    let mut guard = home.guarding_with(&["--interface", "ntp1"]).unwrap();
    let frame = Frame::from("192.0.2.66", 40000).payload(payload::MONLIST).build();
    let [first, second] = [INTERFACE, "ntp1"].map(|name| Wire::open_on(&lab.outside, name).unwrap());
    (0..30).for_each(|_| first.send(&frame).unwrap());
    (0..7).for_each(|_| second.send(&frame).unwrap());
    let of = |line: &Value| -> Vec<(String, u64)> {
        let all = line["interfaces"].as_array().unwrap().iter();
        all.map(|one| {
            (one["interface"].as_str().unwrap().to_owned(), one["dropped"]["packets"].as_u64().unwrap())
        })
        .collect()
    };
    let line = (0..50).map(|_| guard.line().unwrap()).find(|line| line["dropped"]["packets"] == 37).unwrap();
    assert_eq!(of(&line), [(INTERFACE.to_owned(), 30), ("ntp1".to_owned(), 7)]);
    let status = home.status().unwrap();
    let counts: Vec<_> = status["interfaces"].as_array().unwrap().iter().map(|one| &one["dropped"]).collect();
    assert_eq!(counts, [30, 7], "{status}");

    // An interface disappears and comes back: it is guarded at once, and its earlier drops stay in the sum.
    lab.server.run("ip link delete ntp1").unwrap();
    lab.second_wire("ntp1").unwrap();
    wait_for("it is guarded again", || {
        lab.server.run("ip -details link show dev ntp1").is_ok_and(|shown| shown.contains("prog/xdp"))
    });
    let second = Wire::open_on(&lab.outside, "ntp1").unwrap();
    (0..5).for_each(|_| second.send(&frame).unwrap());
    let line = (0..50).map(|_| guard.line().unwrap()).find(|line| line["dropped"]["packets"] == 42).unwrap();
    let sum: u64 = of(&line).iter().filter(|(name, _)| name == "ntp1").map(|(_, dropped)| dropped).sum();
    assert_eq!(sum, 12, "{line}");
    drop(guard);

    // A bridge and its port would judge each packet twice.
    lab.server.run("ip link set ntp1 master br0").unwrap();
    let refused = home.output(&format!("{} --interface br0 --interface ntp1", home.attaching())).unwrap();
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{words}");
    assert!(words.contains("br0 gets its packets from ntp1"), "{words}");
    home.run("detach --all").unwrap();
    let advice = home.run(&format!("{} --interface ntp1", home.attaching())).unwrap();
    assert!(advice.contains("ntp1 belongs to the bridge br0"), "{advice}");
}
