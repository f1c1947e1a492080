//! `ntpguard doctor` on guarded hosts, and as a gate: findings describe what outside sources meet, and exit codes depend on them.

use ntpguard_tests::{
    home::Home,
    netns::{INTERFACE, Lab},
    ntpd::Ntpd,
    stranger,
    visit::{LOCAL, Visit},
};
use serde_json::Value;

/// The daemon itself answers everybody, but the finding is about the answers that an outside source gets.
#[test]
fn a_guarded_daemon_is_judged_with_its_guard() {
    let lab = Lab::new().unwrap();
    let open = format!("unrestrict default noquery limited\n{LOCAL}");
    let _daemon = Ntpd::start(&lab.server, &open).unwrap();
    let closed = format!("restrict default nomodify noquery\n{LOCAL}");
    let home = Home::new(&lab.server, &closed).unwrap();
    let pay = || Visit::pay(&lab.server, &[&home.places()[0]]);
    let bare = pay();
    assert_eq!(bare.of("readvar").0, "warning");
    assert_eq!(bare.of("running"), ("note", "isn't guarded yet"));

    home.attach().unwrap();
    let visit = pay();
    let (status, answered) = visit.of("readvar");
    assert_eq!(status, "ok", "{answered}");
    assert!(answered.starts_with("the daemon would answer on 192.0.2.1, 2001:db8::1 ("), "{answered}");
    assert!(answered.ends_with(&format!("ntpguard drops it before, on {INTERFACE}")), "{answered}");
    let (status, running) = visit.of("running");
    assert!(status == "note" && running.starts_with("unknown: "), "too few frames: {running}");
    let counted = home.status().unwrap();
    assert_eq!((&counted["dropped"], &counted["passed"]), (&0.into(), &0.into()), "nothing is counted");

    // A second interface that leads outside.
    lab.second_wire("ntp9").unwrap();
    lab.server.run("ip address add 203.0.113.1/24 dev ntp9").unwrap();
    let visit = pay();
    let second = visit.all("running").into_iter().find(|found| found["subject"] == "ntp9").unwrap();
    assert_eq!(second["status"], "warning", "{second}");
    let (status, answered) = visit.of("readvar");
    assert!(
        status == "warning" && answered.ends_with("lets it pass, since ntp9 isn't guarded"),
        "{answered}"
    );
    lab.server.run("ip address flush dev ntp9").unwrap();

    // A trial drops nothing, and neither does a policy that lets everybody query.
    home.run("monitor").unwrap();
    let visit = pay();
    assert!(
        visit.of("readvar").1.ends_with("lets it pass, since a trial drops nothing"),
        "{:#}",
        visit.report
    );
    assert_eq!(visit.all("readvar")[0]["fix"], "ntpguard enforce");
    home.run("enforce").unwrap();
    assert_eq!(pay().of("readvar").0, "ok");
    // A line of its own for half of all IPv4 addresses: hardening drops only queries that no line but the default permits.
    home.write(&format!("restrict default noquery\nrestrict 0.0.0.0 mask 128.0.0.0 nomodify\n{LOCAL}"))
        .unwrap();
    home.run("reload").unwrap();
    let visit = pay();
    let (status, answered) = visit.of("readvar");
    assert!(status == "warning" && answered.contains("the policy in force lets everybody ask"), "{answered}");

    // Rules for some sources, in both families and with a non-contiguous mask, aren't rules for all.
    let rules = format!(
        "restrict default nomodify noquery\nrestrict 203.0.113.0 mask 255.0.255.0\nrestrict 2001:db8::/32\n{LOCAL}"
    );
    home.write(&rules).unwrap();
    home.run("reload").unwrap();
    assert_eq!(pay().of("readvar").0, "ok");
}

#[test]
fn a_filter_that_is_not_run_is_a_failure() {
    let lab = Lab::new().unwrap();
    let open = format!("unrestrict default noquery limited\n{LOCAL}");
    let _daemon = Ntpd::start(&lab.server, &open).unwrap();
    let home = Home::new(&lab.server, &format!("restrict default noquery\n{LOCAL}")).unwrap();
    home.attach().unwrap();
    // The link is detached by somebody else, but its pin is left.
    let links: Value = serde_json::from_str(&lab.server.run("bpftool -j link show").unwrap()).unwrap();
    let program = home.status().unwrap()["interfaces"][0]["program"].clone();
    let id = &links.as_array().unwrap().iter().find(|link| link["prog_id"] == program).unwrap()["id"];
    lab.server.run(&format!("bpftool link detach id {id}")).unwrap();
    let visit = Visit::pay(&lab.server, &[&home.places()[0]]);
    assert_eq!((visit.of("running").0, visit.code), ("failure", 2), "{:#}", visit.report);
    assert_eq!(visit.all("running")[0]["fix"], format!("ntpguard attach --interface {INTERFACE}"));
    assert_eq!(visit.of("readvar").0, "warning");
}

#[test]
fn exit_codes_are_a_gate() {
    let lab = Lab::new().unwrap();
    let closed = format!("restrict default noquery\n{LOCAL}");
    let _daemon = Ntpd::start(&lab.server, &closed).unwrap();
    let home = Home::new(&lab.server, &closed).unwrap();
    let code = |options: &[&str]| {
        let visit = Visit::pay(&lab.server, &[&[home.places()[0].as_str()], options].concat());
        (visit.code, visit.report["warnings"].as_u64().unwrap())
    };
    // The lab's daemon reads a file that no other process has, which is a warning.
    let (plain, warnings) = code(&[]);
    assert!(plain == 0 && warnings > 0, "{plain}, {warnings}");
    assert_eq!(code(&["--deny-warnings"]).0, 1);
    let _stranger = stranger::settle(&lab).unwrap();
    assert_eq!((code(&[]).0, code(&["--deny-warnings"]).0), (2, 2));
}

/// An ordinary configuration raises no alarm: an interface on top of a guarded one, and a container engine's bridge.
#[test]
fn an_ordinary_host_is_quiet() {
    let lab = Lab::new().unwrap();
    let open = format!("unrestrict default noquery limited\n{LOCAL}");
    let _daemon = Ntpd::start(&lab.server, &open).unwrap();
    let home = Home::new(&lab.server, &format!("restrict default noquery\n{LOCAL}")).unwrap();
    for line in [
        &format!("ip link add up0 link {INTERFACE} type macvlan"),
        "ip address add 198.51.100.1/24 dev up0",
        "ip link set up0 up",
        "ip link add docker0 type bridge",
        "ip address add 172.17.0.1/16 dev docker0",
        "ip link add guest0 type veth peer name guest1",
        "ip link set guest0 up master docker0",
        "ip link set docker0 up",
    ] {
        lab.server.run(line).unwrap();
    }
    home.attach().unwrap();
    let visit = Visit::pay(&lab.server, &[&home.places()[0]]);
    let alarms: Vec<_> = visit.report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|found| ["warning", "failure"].contains(&found["status"].as_str().unwrap()))
        // The lab's daemon reads a file of its own and isn't started at boot, and its namespace doesn't show whether
        // programs are compiled.
        .filter(|found| !["config", "boot", "jit"].contains(&found["check"].as_str().unwrap()))
        .collect();
    assert!(alarms.is_empty(), "{alarms:#?}");
    assert_eq!((visit.of("readvar").0, visit.code), ("ok", 0));
    let subjects: Vec<_> =
        visit.all("running").iter().map(|found| found["subject"].as_str().unwrap()).collect();
    assert!(
        subjects.contains(&INTERFACE) && subjects.contains(&"docker0") && !subjects.contains(&"up0"),
        "{subjects:?}"
    );
}
