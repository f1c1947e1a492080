//! Faults that hostile reviews of the filter's life have found: each test failed before the fault was fixed.

use nix::sys::signal::Signal;
use ntpguard_tests::{
    client::Wire,
    following::{dropped, policy, wait_for},
    frame::{Frame, payload},
    home::Home,
    netns::{INTERFACE, Lab},
};
use std::{fs, process::Stdio, thread, time::Duration};

const PLAIN: &str = "restrict default nomodify nopeer noquery\n";

fn monitors(home: &Home<'_>) -> bool {
    home.status().unwrap()["monitor"].as_bool().unwrap()
}

/// How many of ten time requests are dropped.
fn lost(lab: &Lab, home: &Home<'_>, source: &str) -> u64 {
    let wire = Wire::open(&lab.outside).unwrap();
    let frame = Frame::from(source, 40000).payload(&payload::time(3, 4)).build();
    let before = dropped(home);
    (0..10).for_each(|_| wire.send(&frame).unwrap());
    dropped(home) - before
}

/// The kernel releases a link some time after its pin is removed, and formerly the interface counted as taken until then.
#[test]
fn modes_of_xdp_change_and_what_fails_leaves_the_one_before() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, PLAIN).unwrap();
    for round in 0..20 {
        let mode = ["native", "generic"][round % 2];
        let said = home.attach_with(&format!("--xdp-mode {mode}")).unwrap();
        assert!(said.contains(&format!("guarding {INTERFACE}, {mode} XDP")), "{said}");
        assert_eq!(said.contains("wasn't guarded for"), round > 0, "{said}");
    }
    home.run("detach --all").unwrap();

    lab.server.run("ip link add br0 type bridge").unwrap();
    let bridge = home.attaching().replacen(INTERFACE, "br0", 1);
    home.run(&bridge).unwrap();
    let refused = home.output(&format!("{bridge} --xdp-mode native")).unwrap();
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        words.contains("the driver of br0 has no native XDP") && words.contains("stays guarded"),
        "{words}"
    );
    assert_eq!(refused.status.code(), Some(2), "{words}");
    assert_eq!(home.status().unwrap()["interfaces"][0]["mode"], "generic");
}

#[test]
fn what_others_have_pinned_beside_stays() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, PLAIN).unwrap();
    // ntpguard's folder is created by hand, with folders that another program might keep there.
    let [pins, _] = home.places();
    let root = pins.split_once('=').unwrap().1.to_owned();
    home.attach().unwrap();
    home.run("detach --all").unwrap();
    lab.server
        .run(&format!("mkdir -p {root}/cilium/tc {root}/v1 {root}/v1-old {root}/links-of-others"))
        .unwrap();
    home.attach().unwrap();
    home.run("detach --all").unwrap();
    let left = lab.server.run(&format!("find {root} -mindepth 1 -type d")).unwrap();
    assert_eq!(left.lines().count(), 5, "{left}");
}

#[test]
fn an_attach_that_fails_changes_nothing() {
    let lab = Lab::new().unwrap();
    lab.server.run("ip link add br0 type bridge").unwrap();
    let home = Home::new(&lab.server, PLAIN).unwrap();
    home.attach().unwrap();
    let pins = home.pins().unwrap();
    home.write("restrict default ignore\nrestrict 127.0.0.1\n").unwrap();
    for interface in ["none0", "lo"] {
        let line = home.attaching().replacen(INTERFACE, interface, 1);
        assert_eq!(home.output(&line).unwrap().status.code(), Some(2));
    }
    // An attachment that only the driver refuses, after all checks that can be made before.
    let line = home.attaching().replacen(INTERFACE, "br0", 1) + " --xdp-mode native";
    for _ in 0..3 {
        assert_eq!(home.output(&line).unwrap().status.code(), Some(2));
    }
    let status = home.status().unwrap();
    assert_eq!((policy(&home), lost(&lab, &home, "198.51.100.5")), (1, 0), "{status}");
    assert_eq!(status["interfaces"].as_array().unwrap().len(), 1, "{status}");
    assert_ne!(status["policy"]["rules"], serde_json::Value::Null, "its rules are still known: {status}");
    assert_eq!(home.pins().unwrap(), pins, "no folder of maps is left");
}

#[test]
fn a_trial_begins_and_ends_whatever_has_become_of_ntp_conf() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, PLAIN).unwrap();
    let guard = home.guarding_with(&["--monitor"]).unwrap();
    let mut enforce = home.command("enforce --confirm 4s").unwrap().stdin(Stdio::null()).spawn().unwrap();
    wait_for("it drops", || !monitors(&home));
    fs::write(home.conf(), b"\0 garbage").unwrap();
    assert_eq!(enforce.wait().unwrap().code(), Some(2));
    wait_for("it is a trial again", || monitors(&home));
    home.run("enforce").unwrap();
    // A policy that is compiled again for another address of this host keeps the trial state.
    let before = policy(&home);
    lab.server.run(&format!("ip address add 192.0.2.77/32 dev {INTERFACE}")).unwrap();
    wait_for("another policy", || policy(&home) != before);
    assert!(!monitors(&home));
    home.run("monitor").unwrap();
    assert!(monitors(&home));
    home.run("enforce").unwrap();

    // A crash doesn't undo what was confirmed; an orderly end and a new start do.
    home.write(PLAIN).unwrap();
    guard.end(Signal::SIGKILL).unwrap();
    let guard = home.guarding_with(&["--monitor"]).unwrap();
    assert!(!monitors(&home));
    guard.end(Signal::SIGTERM).unwrap();
    let guard = home.guarding_with(&["--monitor"]).unwrap();
    assert!(monitors(&home));

    // Nor does a confirmation outlive the filter, which is gone after a crash of the machine.
    home.run("enforce").unwrap();
    guard.end(Signal::SIGKILL).unwrap();
    home.run("detach --all").unwrap();
    let _guard = home.guarding_with(&["--monitor"]).unwrap();
    assert!(monitors(&home));
}

#[test]
fn what_is_guarded_already_counts_when_more_is_attached() {
    let lab = Lab::new().unwrap();
    lab.second_wire("ntp1").unwrap();
    lab.server.run(&format!("ip link add up0 link {INTERFACE} type macvlan")).unwrap();
    let home = Home::new(&lab.server, PLAIN).unwrap();
    home.attach().unwrap();
    let upper = home.output(&home.attaching().replacen(INTERFACE, "up0", 1)).unwrap();
    let words = String::from_utf8_lossy(&upper.stderr).into_owned();
    assert!(words.contains(&format!("up0 gets its packets from {INTERFACE}")), "{words}");
    assert_eq!(upper.status.code(), Some(2));
    let said = home.run(&(home.attaching().replacen(INTERFACE, "ntp1", 1) + " --monitor")).unwrap();
    assert!(said.contains(&format!("{INTERFACE} is guarded already, and by these options, too")), "{said}");
    assert_eq!(home.status().unwrap()["interfaces"].as_array().unwrap().len(), 2);
}

#[test]
fn the_interfaces_of_another_namespace_are_left_alone() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, PLAIN).unwrap();
    home.attach().unwrap();
    let program = lab.attached().unwrap();
    // Another network namespace with an interface of the same name, and the same places.
    let attach = home.command(&home.attaching()).unwrap();
    let mut inner = lab.server.command("unshare");
    let script = format!(
        "ip link add {INTERFACE} type veth peer name far && ip link set {INTERFACE} up && exec \"$0\" \"$@\""
    );
    inner.args(["--net", "sh", "-c", &script]).arg(attach.get_program()).args(attach.get_args());
    let refused = inner.output().unwrap();
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{words}");
    assert!(words.contains("of another network namespace"), "{words}");
    assert_eq!((lab.attached().unwrap(), policy(&home)), (program, 1));
}

#[test]
fn a_policy_that_outgrows_its_counters_is_enforced_all_the_same() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, PLAIN).unwrap();
    let guard = home.guarding().unwrap();
    let line = |host: u32| format!("restrict 10.{}.{}.{} ignore\n", host >> 16, host >> 8 & 255, host & 255);
    let many: String = (1..=6000).map(line).collect();
    home.write(&format!("{PLAIN}{many}restrict 198.51.100.5 ignore\n")).unwrap();
    home.run("reload").unwrap();
    assert_eq!((lost(&lab, &home, "10.0.0.1"), lost(&lab, &home, "198.51.100.5")), (10, 10));
    assert_eq!(lost(&lab, &home, "198.51.100.6"), 0);
    let said = guard.end(Signal::SIGTERM).unwrap().errors;
    assert!(said.contains("more rules than there are counters for"), "{said}");
}

#[test]
fn a_filter_that_somebody_takes_off_comes_back_and_a_new_name_is_none() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, PLAIN).unwrap();
    let guard = home.guarding().unwrap();
    let holds = lab.server.run(&format!("find {} -path */links/*", home.bpffs().display())).unwrap();
    lab.server.run(&format!("bpftool link detach pinned {}", holds.trim())).unwrap();
    wait_for("it is back", || lab.attached().unwrap().len() == 1);
    lab.server.run(&format!("ip link set dev {INTERFACE} down")).unwrap();
    lab.server.run(&format!("ip link set dev {INTERFACE} name other0")).unwrap();
    thread::sleep(Duration::from_secs(2));
    let said = guard.end(Signal::SIGTERM).unwrap().errors;
    assert!(said.contains(&format!("somebody has taken the filter off {INTERFACE}")), "{said}");
    assert!(said.contains(&format!("{INTERFACE} is called other0 now, and stays guarded")), "{said}");
    assert!(!said.contains("nothing guards it"), "{said}");
}
