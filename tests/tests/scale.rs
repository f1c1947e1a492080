//! Figures, not a timed test: how long policies with many rules take, from the file until they are in force.

use nix::sys::signal::Signal;
use ntpguard_tests::{home::Home, netns::Lab};
use std::{fs, time::Instant};

/// An ntp.conf with this many networks, none of which contains another, in no order.
fn conf(lines: u32) -> String {
    let line = |number: u32| {
        // A bijection, so that each network occurs once.
        let [a, b, c, _] = (number.wrapping_mul(0x9e37_79b1) << 8).to_be_bytes();
        format!("restrict {}.{b}.{c}.0 mask 255.255.255.0 ignore\n", a % 100 + 1)
    };
    (0..lines).map(line).chain(["restrict default nomodify noquery\n".to_owned()]).collect()
}

/// How long queries of the state take, to be printed.
fn looks(home: &Home<'_>) -> String {
    let took = |verb: &str| {
        let start = Instant::now();
        let output = home.output(verb).unwrap();
        assert!(output.status.success(), "{verb}: {output:?}");
        format!("{verb} in {} ms", start.elapsed().as_millis())
    };
    ["status", "stats", "monitor", "enforce"].map(took).join(", ")
}

#[test]
fn many_rules_are_in_force_soon() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, &conf(10)).unwrap();
    // The room for counters is allocated for the policy at the start.
    home.write(&conf(100_000)).unwrap();
    let guard = home.guarding().unwrap();
    for lines in [10_000, 100_000] {
        home.write(&conf(lines)).unwrap();
        home.run("reload").unwrap();
        let rules = home.status().unwrap()["policy"]["rules"].as_u64().unwrap();
        println!("{lines} lines, {rules} rules; {}", looks(&home));
        assert!(rules > u64::from(lines) * 9 / 10 && rules <= u64::from(lines) + 2);
    }
    // A query that needs little reads little: with the rest of the state gone, the answer is the same.
    let state = home.path().join("state/state.json");
    let whole = fs::read(&state).unwrap();
    assert!(whole.len() > 10 << 20);
    let answer = |home: &Home<'_>| {
        let mut answer = home.status().unwrap();
        // These counts go on, so they aren't compared.
        for field in ["interfaces", "passed", "dropped", "answered"] {
            answer[field].take();
        }
        answer
    };
    let before = answer(&home);
    fs::write(&state, &whole[..64 << 10]).unwrap();
    assert_eq!(answer(&home), before);
    fs::write(&state, whole).unwrap();
    let said = guard.end(Signal::SIGTERM).unwrap().errors;
    let took: Vec<_> = said.lines().filter(|line| line.ends_with(" ms")).collect();
    println!("{}", took.join("\n"));
    // The file is followed too, so a requested reload may already have happened.
    assert!(took.len() >= 2, "{said}");
}
