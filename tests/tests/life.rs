//! The life of a filter: it stays when its process ends, and nothing that replaces it leaves a gap.

use nix::sys::signal::Signal;
use ntpguard_tests::{
    client::{Wire, flood},
    frame::{Frame, SERVER_V4 as SERVER, payload},
    home::Home,
    load::{CLIENT, Through, under_load},
    netns::{INTERFACE, Lab},
};
use serde_json::Value;
use std::{
    fs,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

const CONF: &str = "\
restrict default kod nomodify nopeer noquery limited
restrict 127.0.0.1
restrict 198.51.100.0 mask 255.255.255.0 ignore
";

fn lab() -> Lab {
    let lab = Lab::new().unwrap();
    lab.address("192.0.2.66").unwrap();
    lab
}

/// Sends frames that a line ignores.
fn ignored(lab: &Lab, count: u64) {
    let wire = Wire::open(&lab.outside).unwrap();
    let frame = Frame::from("198.51.100.5", 40000).payload(&payload::time(3, 4)).build();
    (0..count).for_each(|_| wire.send(&frame).unwrap());
}

fn dropped(status: &Value) -> u64 {
    status["dropped"].as_u64().unwrap()
}

#[test]
fn attached_it_stays_without_a_process() {
    let lab = lab();
    let home = Home::new(&lab.server, CONF).unwrap();
    let said = home.attach().unwrap();
    assert!(said.contains("policy 1: +4 −0 rules, 4 in all"), "{said}");
    assert!(said.contains("guarding ntp0, native XDP\n"), "{said}");
    let programs = lab.attached().unwrap();
    assert_eq!(programs.len(), 1);
    assert_eq!(flood(&lab.outside, "192.0.2.66", SERVER, payload::MONLIST, 100).unwrap().answers, 0);
    ignored(&lab, 10);
    let status = home.status().unwrap();
    assert_eq!((dropped(&status), &status["process"]), (110, &Value::Null), "{status}");
    assert_eq!(status["interfaces"][0]["program"].as_u64(), programs.first().copied(), "{status}");
    assert_eq!((&status["policy"]["number"], &status["policy"]["rules"]), (&1.into(), &4.into()));

    // When it is attached again, the program stays where it is, and the counters go on.
    let said = home.attach().unwrap();
    assert!(said.contains("taken over without a gap") && said.contains("policy 2: +0 −0 rules"), "{said}");
    assert_eq!(lab.attached().unwrap(), programs);
    assert_eq!(dropped(&home.status().unwrap()), 110);

    assert!(home.run(&format!("detach --interface {INTERFACE}")).unwrap().contains("isn't guarded any more"));
    assert_eq!(lab.attached().unwrap(), [0; 0]);
    let again = home.output(&format!("detach --interface {INTERFACE}")).unwrap();
    assert_eq!(again.status.code(), Some(2), "{again:?}");
    home.attach().unwrap();
    home.run("detach --all").unwrap();
    assert_eq!((lab.attached().unwrap(), home.pins().unwrap()), (vec![], 0));
    assert_eq!(home.output("status").unwrap().status.code(), Some(2));
}

#[test]
fn a_reload_says_what_changed_and_hits_go_with_their_lines() {
    let lab = lab();
    let home = Home::new(&lab.server, CONF).unwrap();
    let mut guard = home.guarding().unwrap();
    ignored(&lab, 10);
    let hits = |line: &Value| -> Vec<(u64, u64)> {
        let number = |rule: &Value, key: &str| rule[key].as_u64().unwrap();
        let rules = line["rules"].as_array().unwrap().iter();
        rules.map(|rule| (number(rule, "line"), number(rule, "packets"))).collect()
    };
    let seen = |guard: &mut ntpguard_tests::guard::Guarding, wanted: &[(u64, u64)]| {
        let lines: Vec<_> =
            (0..20).map(|_| hits(&guard.line().unwrap())).take_while(|line| line != wanted).collect();
        assert!(lines.len() < 20, "{wanted:?} never came, but {:?}", lines.last());
    };
    seen(&mut guard, &[(3, 10)]);
    // One line has moved, one is new, and one is gone.
    home.write("restrict 203.0.113.0 mask 255.255.255.0 noserve\nrestrict default kod nomodify nopeer noquery limited\n\nrestrict 198.51.100.0 mask 255.255.255.0 ignore\n").unwrap();
    assert_eq!(home.run("reload").unwrap(), "policy 2 is in force\n");
    ignored(&lab, 5);
    seen(&mut guard, &[(4, 15)]);

    // A file that can't be read changes nothing, and the error is reported everywhere.
    fs::remove_file(home.conf()).unwrap();
    fs::create_dir(home.conf()).unwrap();
    let refused = home.output("reload").unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let status = home.status().unwrap();
    assert_eq!(status["policy"]["number"], 2);
    assert!(status["failure"]["message"].as_str().unwrap().contains("ntp.conf"), "{status}");
    ignored(&lab, 5);
    seen(&mut guard, &[(4, 20)]);
    let ended = guard.end(Signal::SIGTERM).unwrap();
    assert!(ended.errors.contains("policy 2: +1 −1 rules, 4 in all"), "{}", ended.errors);
    assert!(ended.errors.contains("the old policy stays: "), "{}", ended.errors);

    // The same without a process beside the filter.
    fs::remove_dir(home.conf()).unwrap();
    home.write(CONF).unwrap();
    assert!(home.run("reload").unwrap().contains("policy 3: +1 −1 rules, 4 in all"));
    assert_eq!(home.status().unwrap()["failure"], Value::Null);
    let mut guard = home.guarding().unwrap();
    seen(&mut guard, &[(3, 20)]);
}

#[test]
fn one_process_at_a_time_looks_after_it() {
    let lab = lab();
    let home = Home::new(&lab.server, CONF).unwrap();
    let guard = home.guarding().unwrap();
    for line in [home.attaching().replacen("attach", "run", 1), home.attaching(), "detach --all".to_owned()] {
        let refused = home.output(&line).unwrap();
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{line}: {said}");
        assert!(said.contains("looks after the filter") && said.contains("stop it first"), "{line}: {said}");
    }
    assert_eq!(lab.attached().unwrap().len(), 1);
    let ended = guard.end(Signal::SIGKILL).unwrap();
    assert!(!ended.status.success());
    assert_eq!(lab.attached().unwrap().len(), 1, "it stays");
    assert_eq!(home.status().unwrap()["process"], Value::Null);
    let guard = home.guarding().unwrap();
    assert_eq!(guard.attached["taken_over"], true);
    assert_ne!(home.status().unwrap()["process"], Value::Null);
    home.run("detach --all --force").unwrap();
    assert_eq!(lab.attached().unwrap(), [0; 0]);
    drop(guard);
}

/// Runs work that kills or replaces a process again and again, with time requests and monlist on the wire.
fn churn(lab: &Lab, name: &str, work: impl FnOnce() -> anyhow::Result<()>) {
    let through = under_load(lab, work).unwrap();
    println!("{name}: {through:?}");
    let Through { asked, arrived, attacks, leaked } = through;
    assert!(asked > 100 && attacks > 100);
    assert_eq!((leaked, asked - arrived), (0, 0), "{name}");
}

#[test]
fn no_reload_restart_or_kill_opens_a_gap() {
    let lab = lab();
    lab.address(CLIENT).unwrap();
    // Both policies serve the client, without `limited`, which NTPsec's own default has.
    let plain = "restrict default nomodify nopeer noquery\nrestrict 198.18.0.0 mask 255.254.0.0 nopeer noquery\n\
        restrict 203.0.113.66 ignore\n";
    let other = &format!("{plain}restrict 198.51.100.0 mask 255.255.255.0 ignore\n");
    let home = Home::new(&lab.server, plain).unwrap();
    let attached = home.attach().unwrap();
    assert!(attached.contains("guarding"), "{attached}");
    churn(&lab, "1,000 reloads", || {
        let guard = home.guarding()?;
        for round in 0..1000 {
            home.write([other, plain][round % 2])?;
            home.run("reload")?;
        }
        anyhow::ensure!(guard.end(Signal::SIGTERM)?.status.success());
        Ok(())
    });
    churn(&lab, "100 restarts", || {
        (0..100).try_for_each(|_| {
            anyhow::ensure!(home.guarding()?.end(Signal::SIGTERM)?.status.success());
            Ok(())
        })
    });
    churn(&lab, "200 kills", || {
        for round in 0..200_u64 {
            let line = home.attaching().replacen("attach", "run", 1);
            let mut child = home.command(&line)?.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
            // A start takes about half a second, so the process is killed at every stage of it, and after it.
            thread::sleep(Duration::from_millis(round * 7919 % 900));
            child.kill()?;
            child.wait()?;
        }
        anyhow::ensure!(home.guarding()?.end(Signal::SIGTERM)?.status.success());
        Ok(())
    });
    // From maps of another version, and of another size: both have to be replaced, one of them with its counts carried over.
    churn(&lab, "20 upgrades", || {
        for round in 0..20 {
            let before = dropped(&home.status()?);
            let options: &[&str] = if round % 2 == 0 {
                home.age()?;
                &[]
            } else {
                &["--sources=1000"]
            };
            anyhow::ensure!(home.guarding_with(options)?.end(Signal::SIGTERM)?.status.success());
            let after = dropped(&home.status()?);
            anyhow::ensure!((after < before) == (round % 2 == 0), "{before} drops before, {after} after");
        }
        Ok(())
    });
    // One folder of maps, one program and one link: nothing is left over from 200 accidents.
    assert_eq!(home.pins().unwrap(), 19);
}

/// After an upgrade the filter of the previous version stays in force, and commands report it and say what to do.
#[test]
fn a_filter_of_another_version_is_named_and_can_be_taken_away() {
    let lab = lab();
    for detaching in [&*format!("detach --interface {INTERFACE}"), "detach --all"] {
        let home = Home::new(&lab.server, CONF).unwrap();
        home.attach().unwrap();
        home.age().unwrap();
        for verb in ["status", "stats", "enforce", "reload"] {
            let output = home.output(verb).unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{verb}: {said}");
            assert!(said.contains("another version of ntpguard is pinned at "), "{verb}: {said}");
            assert!(said.contains(&format!(" and guards {INTERFACE}; ")), "{verb}: {said}");
            assert!(said.contains("`ntpguard attach`"), "{verb}: {said}");
        }
        let start = Instant::now();
        home.run(detaching).unwrap();
        println!("{detaching}: {:?}", start.elapsed());
        assert_eq!((lab.attached().unwrap(), home.pins().unwrap()), (vec![], 0), "{detaching}");
        let said = String::from_utf8(home.output("status").unwrap().stderr).unwrap();
        assert!(said.contains("nothing is guarded"), "{said}");
        home.attach().unwrap();
        home.run("detach --all").unwrap();
    }
}
