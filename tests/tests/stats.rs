//! `ntpguard stats`: the same exact counts for everybody who may read them, and counts from zero for a user who has reset them.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use ntpguard_tests::{
    client::Wire,
    frame::{Frame, payload},
    home::Home,
    netns::{INTERFACE, Lab},
    told::{hits, of, packets, without_rates},
};
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader},
    process::{Output, Stdio},
};

const SECOND: &str = "ntp1";

const CONF: &str = "\
restrict default nomodify nopeer noquery
restrict 198.51.100.0 mask 255.255.255.0 ignore
restrict 203.0.113.0 mask 255.255.255.0 noserve
restrict 192.0.2.0 mask 255.255.255.0
restrict 192.0.2.77 noquery
unrestrict default limited
";

/// The traffic: wire, source, payload, number of packets, the reason of the verdict, and the line that caused it.
type Mix = [(&'static str, &'static str, Vec<u8>, u64, &'static str, Option<u64>); 6];

/// A mix of 30,000 packets.
fn mix() -> Mix {
    let time = || payload::time(3, 4);
    [
        (INTERFACE, "198.18.0.2", payload::MONLIST.to_vec(), 8000, "mode7", None),
        (INTERFACE, "198.51.100.5", time(), 6000, "ignore", Some(2)),
        (INTERFACE, "198.18.0.3", time(), 3000, "time", None),
        (SECOND, "198.18.0.1", payload::READVAR.to_vec(), 7000, "noquery", Some(1)),
        (SECOND, "203.0.113.9", time(), 4000, "noserve", Some(3)),
        (SECOND, "198.51.100.6", time(), 2000, "ignore", Some(2)),
    ]
}

/// A lab with two wires to the same server.
fn lab() -> Lab {
    let lab = Lab::new().unwrap();
    lab.second_wire(SECOND).unwrap();
    lab
}

fn send(lab: &Lab, mix: &Mix) {
    for (interface, source, payload, count, ..) in mix {
        let wire = Wire::open_on(&lab.outside, interface).unwrap();
        let frame = Frame::from(source, 40000).payload(payload).build();
        (0..*count).for_each(|_| wire.send(&frame).unwrap());
    }
}

fn both(attaching: &str) -> String {
    format!("{attaching} --interface {SECOND}")
}

/// The output of `stats` as JSON.
fn stats(home: &Home<'_>, options: &str) -> Value {
    let output = home.output(&format!("stats --format json {options}")).unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The output of `stats` as text.
fn text(home: &Home<'_>, options: &str) -> String {
    let output = home.output(&format!("stats {options}")).unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Checks that the mix was counted this many times, in every way in which `stats` shows it.
fn counted(home: &Home<'_>, stats: &Value, times: u64) {
    let dropped: u64 = mix().iter().filter(|sent| sent.4 != "time").map(|sent| sent.3 * times).sum();
    assert_eq!((packets(&stats["dropped"]), packets(&stats["passed"])), (dropped, 3000 * times), "{stats}");
    for (interface, _, _, count, reason, _) in mix() {
        assert_eq!(of(stats, Some(interface), reason), count * times, "{reason} on {interface}: {stats}");
    }
    assert_eq!(of(stats, None, "ignore"), 8000 * times);
    // A time packet's frame has 90 bytes; the shortest frame has 60.
    assert_eq!(stats["reasons"]["ignore"]["bytes"], 8000 * times * 90);
    assert_eq!(stats["reasons"]["mode7"]["bytes"], 8000 * times * 60);
    let lines = [("ignore", 2, 8000), ("noquery", 1, 7000), ("noserve", 3, 4000)];
    let lines = lines.map(|(reason, line, packets)| (reason.to_owned(), line, packets * times));
    assert_eq!(hits(stats), lines, "{stats}");
    assert_eq!(stats["rules"][0]["file"], home.conf().display().to_string());
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn all_who_look_see_the_same() {
    let lab = lab();
    let home = Home::new(&lab.server, CONF).unwrap();
    let nothing = home.output("stats").unwrap();
    assert_eq!(nothing.status.code(), Some(2), "{nothing:?}");
    assert!(words(&nothing).contains("nothing is guarded: `ntpguard run` or"), "{nothing:?}");

    // Without a process beside the filter.
    let output = home.output(&both(&home.attaching())).unwrap();
    assert!(output.status.success(), "{output:?}");
    send(&lab, &mix());
    let seen = stats(&home, "");
    counted(&home, &seen, 1);
    assert_eq!(
        (&seen["version"], &seen["monitor"], &seen["since"]),
        (&json!(1), &json!(false), &Value::Null)
    );
    assert_eq!(seen["policy"]["number"], 1);
    assert_eq!(seen["reasons"]["mode7"]["share"], 8000.0 / 30000.0);
    assert_eq!(seen["reasons"]["mode7"]["packets_per_second"], Value::Null);
    assert_eq!(home.status().unwrap()["dropped"], 27000);

    let table = text(&home, "--rules");
    let row = |name: &str| -> Vec<&str> {
        let line = table.lines().find(|line| line.trim_start().starts_with(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("{name}: {table}")).trim_start()[name.len()..]
            .split_whitespace()
            .collect()
    };
    assert_eq!(row("all interfaces")[0], "30000");
    assert_eq!(row("ignore"), ["8000", "720000", "26.7", "%"]);
    assert_eq!(row(INTERFACE)[0], "17000");
    assert_eq!(row(SECOND)[0], "13000");
    let conf = home.conf().display().to_string();
    let lines: Vec<_> = table.lines().filter(|line| line.contains(&conf)).skip(1).collect();
    let blamed = |line: &str, reason: &str, packets: &str, text: &str| {
        assert!(line.trim_start().starts_with(reason), "{line}");
        assert!(line.split_whitespace().nth(1) == Some(packets) && line.ends_with(text), "{line}");
    };
    blamed(
        lines[0],
        "ignore",
        "8000",
        &format!("{conf}:2:1: restrict 198.51.100.0 mask 255.255.255.0 ignore"),
    );
    blamed(lines[1], "noquery", "7000", "ntp.conf:1:1: restrict default nomodify nopeer noquery");
    blamed(lines[2], "noserve", "4000", "ntp.conf:3:1: restrict 203.0.113.0 mask 255.255.255.0 noserve");
    assert!(table.contains("1 more line could drop something, and has not"), "{table}");
    assert!(!table.contains("\n\n"), "a block has no empty line: {table}");

    // With such a process, the output is the same.
    let mut guard = home.guarding_with(&["--interface", SECOND]).unwrap();
    send(&lab, &mix());
    let seen = stats(&home, "");
    counted(&home, &seen, 2);
    let line =
        (0..50).map(|_| guard.line().unwrap()).find(|line| line["dropped"]["packets"] == 54000).unwrap();
    for field in ["passed", "dropped", "answered", "reasons", "interfaces", "rules"] {
        assert_eq!(without_rates(&line[field]), without_rates(&seen[field]), "{field}");
    }
}

#[test]
fn of_one_interface_alone() {
    let lab = lab();
    let home = Home::new(&lab.server, CONF).unwrap();
    home.run(&both(&home.attaching())).unwrap();
    send(&lab, &mix());
    for named in ["ntp1", "--interface ntp1", "-i ntp1", "ntp1 -i ntp1"] {
        let seen = stats(&home, named);
        assert_eq!((packets(&seen["dropped"]), packets(&seen["passed"])), (13000, 0), "{named}: {seen}");
        assert_eq!(seen["interfaces"].as_array().unwrap().len(), 1, "{seen}");
        assert_eq!(of(&seen, None, "ignore"), 2000, "{seen}");
        // Lines are counted for both interfaces together, so they aren't shown for one.
        assert_eq!(seen["rules"], Value::Null);
        assert!(seen["unknown"].as_str().unwrap().contains("for all interfaces together"), "{seen}");
    }
    let seen = stats(&home, &format!("ntp1 {INTERFACE}"));
    assert_eq!((packets(&seen["dropped"]), packets(&seen["passed"])), (27000, 3000), "{seen}");
    let table = text(&home, "ntp1 --rules --sources");
    assert!(!table.contains("all interfaces  ") && !table.contains(INTERFACE), "{table}");
    assert_eq!(table.matches("counted for all interfaces together").count(), 2, "{table}");
    let other = home.output("stats lo").unwrap();
    assert_eq!(other.status.code(), Some(2), "{other:?}");
    assert!(words(&other).contains("lo isn't guarded"), "{other:?}");
    // The same since a reset.
    home.run("stats --reset").unwrap();
    assert_eq!(packets(&stats(&home, "ntp1")["dropped"]), 0);
}

#[test]
fn every_field_is_documented() {
    let lab = lab();
    let home = Home::new(&lab.server, CONF).unwrap();
    home.run(&both(&home.attaching())).unwrap();
    send(&lab, &mix());
    let text = include_str!("../../docs/src/reference/stats.md");
    let mut missing = Vec::new();
    let mut named = |name: &str| {
        if !text.contains(&format!("`{name}`")) {
            missing.push(name.to_owned());
        }
    };
    // The names of reasons are those in the README.
    fn fields(value: &Value, named: &mut dyn FnMut(&str)) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| fields(value, named)),
            Value::Object(all) => all.iter().for_each(|(name, value)| {
                let is_reason = ntpguard_common::Reason::ALL.iter().any(|reason| reason.name() == name);
                if !is_reason {
                    named(name);
                }
                fields(value, named);
            }),
            _ => (),
        }
    }
    fields(&stats(&home, "--rules --sources"), &mut named);
    assert_eq!(missing, [""; 0]);
}

#[test]
fn a_reset_is_the_readers_own() {
    let lab = lab();
    let home = Home::new(&lab.server, CONF).unwrap();
    home.open_to_all().unwrap();
    let guard = home.guarding_with(&["--interface", SECOND, "--group", "4711"]).unwrap();
    let user = |line: &str| home.as_user("4711", line).output().unwrap();
    let users = || -> Value {
        let output = user("stats --format json");
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    send(&lab, &mix());
    counted(&home, &users(), 1);

    // A user outside the group may read nothing, and is told why.
    let refused = home.as_user("65534", "stats").output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(words(&refused).contains("member of the group that `ntpguard run --group`"), "{refused:?}");
    // A user in the group may only read: there is no access to links, programs and the hash's key.
    let open = format!("find {} -group 4711 -printf %m:%f\\n", home.bpffs().display());
    let mut open: Vec<_> = lab.server.run(&open).unwrap().lines().map(str::to_owned).collect();
    open.sort();
    let shown = ["ASSOCIATIONS", "HEAVY", "HITS", "LEARNING", "POLICY", "REASONS", "SEEN", "SOURCES"];
    assert_eq!(open[..8], shown.map(|map| format!("640:{map}")));
    assert!(open.len() == 10 && open[8..].iter().all(|folder| folder.starts_with("750:")), "{open:?}");
    assert!(!user("detach --all --force").status.success());

    home.run("stats --reset").unwrap();
    let zero = stats(&home, "");
    assert_eq!((packets(&zero["dropped"]), packets(&zero["passed"])), (0, 0), "{zero}");
    assert!(zero["since"].is_u64() && hits(&zero).is_empty(), "{zero}");
    counted(&home, &users(), 1);
    counted(&home, &stats(&home, "--total"), 1);
    send(&lab, &mix());
    counted(&home, &stats(&home, ""), 1);
    counted(&home, &users(), 2);

    // A reset by the user, and a reload in between that moves lines and adds one.
    let reset = user("stats --reset");
    assert!(reset.status.success(), "{reset:?}");
    home.write(&format!("restrict 100.64.0.0 mask 255.192.0.0 ignore\n{CONF}")).unwrap();
    home.run("reload").unwrap();
    send(&lab, &mix());
    let moved = |packets: u64| {
        let lines = [("ignore", 3, 8000), ("noquery", 2, 7000), ("noserve", 4, 4000)];
        lines.map(|(reason, line, count)| (reason.to_owned(), line, count * packets)).to_vec()
    };
    assert_eq!((hits(&users()), packets(&users()["dropped"])), (moved(1), 27000));
    assert_eq!(hits(&stats(&home, "")), moved(2));
    assert_eq!(hits(&stats(&home, "--total")), moved(3));
    // A line that is removed and comes back counts from zero.
    home.write(&CONF.replace("restrict 198.51.100.0 mask 255.255.255.0 ignore\n", "")).unwrap();
    home.run("reload").unwrap();
    home.write(CONF).unwrap();
    home.run("reload").unwrap();
    send(&lab, &mix());
    let hits = hits(&stats(&home, ""));
    assert_eq!(hits.iter().map(|hit| hit.2).collect::<Vec<_>>(), [8000, 21000, 12000], "{hits:?}");
    drop(guard);

    // Other maps count from zero, so the reset no longer applies.
    home.run("detach --all").unwrap();
    home.run(&both(&home.attaching())).unwrap();
    let output = home.output("stats").unwrap();
    assert!(words(&output).contains("have begun anew since the reset"), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("since the filter was attached first"));
    assert_eq!(words(&home.output("stats").unwrap()), "");
    // Without --group, a user of the earlier group has no access.
    assert_eq!(user("stats").status.code(), Some(2));
}

#[test]
fn the_sources_limited_most() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, "restrict default nomodify noquery limited\n").unwrap();
    home.attach().unwrap();
    let wire = Wire::open(&lab.outside).unwrap();
    let sends = |source: &str, count: u64| {
        let frame = Frame::from(source, 40000).payload(&payload::time(3, 4)).build();
        (0..count).for_each(|_| wire.send(&frame).unwrap());
    };
    (1..=12).for_each(|host| sends(&format!("198.18.0.{host}"), 200 * host));
    let most = |stats: &Value| -> Vec<String> {
        let limited = stats["limits"]["limited"].as_array().unwrap().iter();
        limited.map(|one| one["source"].as_str().unwrap().to_owned()).collect()
    };
    let seen = stats(&home, "--sources 2");
    assert_eq!(most(&seen), ["198.18.0.12", "198.18.0.11"], "{seen}");
    assert_eq!(most(&stats(&home, "--sources")).len(), 10);
    assert_eq!(stats(&home, "")["limits"], Value::Null);
    assert!(text(&home, "--sources 1").contains("  limited 198.18.0.12 "));
    home.run("stats --reset").unwrap();
    assert_eq!(most(&stats(&home, "--sources")), [""; 0]);
    sends("198.18.0.1", 100);
    assert_eq!(most(&stats(&home, "--sources")), ["198.18.0.1"]);
    assert_eq!(most(&stats(&home, "--sources 1 --total")), ["198.18.0.12"]);
}

#[test]
fn a_watch_shows_rates_until_it_is_told_to_stop() {
    let lab = lab();
    let home = Home::new(&lab.server, CONF).unwrap();
    home.run(&both(&home.attaching())).unwrap();
    let start = |line: &str| {
        let mut child = home.command(line).unwrap().stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
        (child, lines)
    };
    let end = |mut child: std::process::Child| {
        kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
    };
    let (child, mut lines) = start("stats --watch 500ms");
    let first: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    assert!(first[0].starts_with("policy 1: ") && !first.join(" ").contains("packets/s"), "{first:?}");
    let second: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    assert!(second[0].starts_with("policy 1: ") && second.join(" ").contains("packets/s"), "{second:?}");
    assert!(!first.join("").contains('\x1b'), "no terminal, no escapes");
    end(child);

    let (child, mut lines) = start("stats --watch 1 --format json");
    let mut line = || -> Value { serde_json::from_str(&lines.next().unwrap()).unwrap() };
    assert_eq!(line()["reasons"]["ignore"]["packets_per_second"], Value::Null);
    send(&lab, &mix());
    // How many intervals that takes depends on the machine.
    let seen: Vec<Value> = std::iter::from_fn(|| Some(line())).take(6).collect();
    let sum: f64 = seen
        .iter()
        .map(|line| {
            line["reasons"]["ignore"]["packets_per_second"].as_f64().unwrap()
                * line["seconds"].as_f64().unwrap()
        })
        .sum();
    assert_eq!((sum.round(), packets(&seen[5]["reasons"]["ignore"])), (8000.0, 8000), "{seen:?}");
    end(child);

    // The command ends when the filter is gone.
    let (mut child, mut lines) = start("stats --watch 200ms");
    lines.next().unwrap();
    home.run("detach --all").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(2));
}
