//! The folders of the state and the pins: full, read-only, missing, used by another filter, or about interfaces that are gone.

use nix::sys::signal::Signal;
use ntpguard_tests::{
    following::policy,
    guard::binary,
    home::Home,
    netns::{INTERFACE, Lab},
};
use serde_json::{Value, json};
use std::fs;

const CONF: &str = "restrict default nomodify nopeer noquery\nrestrict 127.0.0.1\n";
const OTHER: &str =
    "restrict default nomodify nopeer noquery\nrestrict 198.51.100.0 mask 255.255.255.0 ignore\n";

/// A reload reports its result, even if no state can be written.
#[test]
fn without_a_place_for_the_state_reload_and_monitor_do_what_they_can() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    let state = home.path().join("state");
    for way in ["full", "read-only", "removed"] {
        fs::create_dir_all(&state).unwrap();
        lab.server.run(&format!("mount -t tmpfs -o size=64k tmpfs {}", state.display())).unwrap();
        let guard = home.guarding().unwrap();
        match way {
            "full" => {
                // dd ends when there is no space left.
                let filler = format!("dd if=/dev/zero of={} bs=1k", state.join("filler").display());
                lab.server.run(&filler).unwrap_err();
            }
            "read-only" => drop(lab.server.run(&format!("mount -o remount,ro {}", state.display())).unwrap()),
            _ => drop(lab.server.run(&format!("find {} -mindepth 1 -delete", state.display())).unwrap()),
        }
        let before = policy(&home);
        home.write(OTHER).unwrap();
        let said = home.run("reload").unwrap();
        assert!(said.contains("is in force") && !said.contains("another ntpguard"), "{way}: {said}");
        assert!(policy(&home) > before, "{way}");
        for (verb, monitors) in [("monitor", true), ("enforce", false)] {
            let said = home.run(verb).unwrap();
            assert_eq!(home.status().unwrap()["monitor"], monitors, "{way}: {said}");
        }
        home.write(CONF).unwrap();
        drop(guard.end(Signal::SIGTERM).unwrap());
        // The same without the process.
        let output = home.output("reload").unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() || said.contains("makes it anew"), "{way}: {said}");
        home.run("detach --all").unwrap();
        lab.server.run(&format!("umount {}", state.display())).unwrap();
    }
}

#[test]
fn a_state_belongs_to_one_filter() {
    let lab = Lab::new().unwrap();
    lab.second_wire("ntp1").unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    home.attach().unwrap();
    let other = format!("--pin-path={}", home.bpffs().join("other").display());
    let [_, state] = home.places();
    let attach = || {
        let line = format!("attach --interface ntp1 --dialect ntpsec --config {}", home.conf().display());
        let mut command = lab.server.command(binary().unwrap());
        let output = command.args(line.split_whitespace()).args([&other, &state]).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = attach();
    assert!(code == Some(2) && said.contains("name another one"), "{said}");
    // When the first filter is gone, the other one may use the folder.
    home.run("detach --all").unwrap();
    assert_eq!(attach().0, Some(0));
}

/// State that a later ntpguard or another program has written: it is written anew, and what is lost is reported.
#[test]
fn a_state_that_nobody_here_can_read_is_replaced() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    let (state, settings) = (home.path().join("state/state.json"), home.path().join("settings.toml"));
    fs::write(&settings, format!("dialect = 'ntpsec'\nconfig = '{}'\n", home.conf().display())).unwrap();
    let reload = format!("reload --settings {}", settings.display());
    let later = r#"{"version":4000000000,"summary":7,"what":{"nobody":"knows"}}"#;
    for (kept, why) in [(later, "version 4000000000"), (r#"{"summary":{},"options":7}"#, "isn't a state")] {
        home.attach_with("--monitor").unwrap();
        let before = policy(&home);
        fs::write(&state, kept).unwrap();
        let status = home.status().unwrap();
        assert_eq!(
            (&status["interfaces"][0]["interface"], &status["monitor"]),
            (&json!(INTERFACE), &json!(true))
        );
        // In a namespace without these interfaces, their indexes mean nothing.
        let mut elsewhere = lab.outside.command(binary().unwrap());
        let elsewhere = elsewhere.args(reload.split_whitespace()).args(home.places()).output().unwrap();
        assert_eq!(elsewhere.status.code(), Some(2), "{elsewhere:?}");
        assert_eq!(policy(&home), before);
        let said = home.run(&reload).unwrap();
        for part in [why, "written anew", "settings.toml"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(policy(&home) > before, "{why}");
        // A trial stays a trial.
        assert_eq!(home.status().unwrap()["monitor"], true);
        let known: Value = serde_json::from_slice(&fs::read(&state).unwrap()).unwrap();
        assert_eq!((&known["version"], &known["options"]["interface"]), (&json!(1), &json!([INTERFACE])));
        let said = home.run("reload").unwrap();
        assert!(!said.contains("written anew"), "{said}");
        home.run("detach --all").unwrap();
    }
    // The process that looks after the filter knows the options.
    let guard = home.guarding().unwrap();
    fs::write(&state, later).unwrap();
    home.write(OTHER).unwrap();
    let said = home.run("reload").unwrap();
    assert!(said.contains("is in force"), "{said}");
    drop(guard.end(Signal::SIGTERM).unwrap());
    // So does `attach`, which is given the options.
    fs::write(&state, later).unwrap();
    let said = home.attach().unwrap();
    assert!(said.contains("version 4000000000") && said.contains("written anew"), "{said}");
    assert!(!home.run("reload").unwrap().contains("written anew"));
}

#[test]
fn holds_on_interfaces_that_are_gone_go_too() {
    let lab = Lab::new().unwrap();
    lab.second_wire("ntp1").unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    home.run(&home.attaching().replacen(INTERFACE, "ntp1", 1)).unwrap();
    home.attach().unwrap();
    let holds = || {
        let all = lab.server.run(&format!("ls {}", home.bpffs().join("ntpguard/links").display())).unwrap();
        all.lines().count()
    };
    assert_eq!(holds(), 2);
    lab.server.run("ip link delete ntp1").unwrap();
    home.run("reload").unwrap();
    assert_eq!((holds(), lab.attached().unwrap().len()), (1, 1));
}
