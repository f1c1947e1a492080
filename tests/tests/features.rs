//! Features of a card that attaching turns off: they are restored when the filter is taken off, however it ends.

use nix::sys::signal::Signal;
use ntpguard_tests::{
    following::wait_for,
    guard::{Guarding, command},
    home::Home,
    netns::{INTERFACE, Lab, program},
    stranger,
};
use serde_json::Value;
use std::{process::Stdio, thread, time::Duration};

const CONF: &str = "restrict default nomodify nopeer noquery\n";

/// A macvlan's LRO can be requested whatever its lower device does, and attaching generic XDP withdraws the request.
fn lab_with_lro() -> Lab {
    let lab = Lab::new().unwrap();
    lab.second_wire("ntp1").unwrap();
    lab.server.run("ip link add mac0 link ntp1 type macvlan").unwrap();
    lab.server.run("ip link set mac0 up").unwrap();
    want_lro(&lab, true);
    assert!(wants_lro(&lab));
    lab
}

fn want_lro(lab: &Lab, on: bool) {
    want_lro_of(lab, "mac0", on);
}

fn want_lro_of(lab: &Lab, name: &str, on: bool) {
    // ethtool fails, since the request turns nothing on.
    let _ = lab.server.run(&format!("ethtool -K {name} lro {}", if on { "on" } else { "off" }));
}

fn wants_lro(lab: &Lab) -> bool {
    let shown = lab.server.run("ethtool --json -k mac0").unwrap();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    shown[0]["large-receive-offload"]["requested"].as_bool().unwrap()
}

#[test]
fn features_that_attaching_turned_off_come_back() {
    let lab = lab_with_lro();
    let home = Home::new(&lab.server, CONF).unwrap();
    let attach = || home.attach_with("--interface mac0 --xdp-mode generic").unwrap();
    for line in ["detach --interface mac0", "detach --all"] {
        attach();
        assert!(!wants_lro(&lab));
        attach();
        home.run(line).unwrap();
        assert!(wants_lro(&lab), "{line}, after a take-over");
    }
    // Requested and withdrawn again by somebody else meanwhile, which must have no influence.
    attach();
    want_lro(&lab, true);
    want_lro(&lab, false);
    home.run("detach --interface mac0").unwrap();
    assert!(wants_lro(&lab), "it is as attaching has left it, so it is put back");
    want_lro(&lab, false);
    attach();
    home.run("detach --interface mac0").unwrap();
    assert!(!wants_lro(&lab), "it was off before");
    // The same interface index under another name, as after a boot: nothing is restored.
    let file = home.path().join("state/state.json");
    want_lro(&lab, true);
    attach();
    let kept = std::fs::read(&file).unwrap();
    home.run("detach --all").unwrap();
    lab.server.run("ip link set dev mac0 down name mac1").unwrap();
    want_lro_of(&lab, "mac1", false);
    std::fs::write(&file, &kept).unwrap();
    home.run("detach --all").unwrap();
    lab.server.run("ip link set dev mac1 name mac0 up").unwrap();
    assert!(!wants_lro(&lab), "what is kept is of an interface of another name");
    // State that an earlier version wrote doesn't contain the cards.
    want_lro(&lab, true);
    attach();
    let mut state: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert!(state.as_object_mut().unwrap().remove("cards").is_some());
    std::fs::write(&file, state.to_string()).unwrap();
    home.run("detach --all").unwrap();
    assert!(!wants_lro(&lab));
}

#[test]
fn features_come_back_where_a_later_interface_is_refused() {
    let lab = lab_with_lro();
    stranger::settle(&lab).unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    let conf = home.conf();
    let line = |verb: &str| {
        format!(
            "{verb} --interface mac0 --interface {INTERFACE} --xdp-mode generic --dialect ntpsec --config {}",
            conf.display()
        )
    };
    for verb in ["attach", "run", "run --ephemeral"] {
        let refused = home.output(&line(verb)).unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("another XDP program holds"), "{said}");
        assert_eq!(program(&lab.server, "mac0"), None);
        assert!(wants_lro(&lab), "as it was before {verb}");
    }
    lab.server.run(&format!("ip link set dev {INTERFACE} xdp off")).unwrap();
    home.run(&line("attach")).unwrap();
    assert!(!wants_lro(&lab));
    home.run("detach --all").unwrap();
    assert!(wants_lro(&lab));
}

#[test]
fn features_come_back_however_an_ephemeral_guard_ends() {
    let lab = lab_with_lro();
    let home = Home::new(&lab.server, CONF).unwrap();
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let options = ["--interface", "mac0", "--xdp-mode", "generic"];
        let guard = Guarding::start(&lab.server, &home.conf(), &options).unwrap();
        assert!(!wants_lro(&lab));
        guard.end(signal).unwrap();
        wait_for("LRO is wanted again", || wants_lro(&lab));
        assert_eq!(program(&lab.server, "mac0"), None, "{signal}");
    }
    // The filter is attached again to an interface that comes back, long after the helper was started.
    let guard = Guarding::start(&lab.server, &home.conf(), &["--interface", "mac0", "--xdp-mode", "generic"]);
    let guard = guard.unwrap();
    lab.server.run("ip link del mac0").unwrap();
    lab.server.run("ip link add mac1 link ntp1 type macvlan").unwrap();
    want_lro_of(&lab, "mac1", true);
    lab.server.run("ip link set dev mac1 name mac0 up").unwrap();
    wait_for("it is guarded again", || program(&lab.server, "mac0").is_some() && !wants_lro(&lab));
    // The helper is told right after the look in which the filter was attached.
    thread::sleep(Duration::from_millis(500));
    guard.end(Signal::SIGKILL).unwrap();
    wait_for("LRO is wanted again", || wants_lro(&lab));
    // Started by hand, the helper does nothing.
    let refused = command(&lab.server, &["restore-features"]).unwrap().stdin(Stdio::null()).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}
