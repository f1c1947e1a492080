//! Every golden packet, judged by the host's function and by the kernel: action, counter and line.

use ntpguard::{
    bpf::{Guard, Object, Size},
    compile::Hardening,
    daemon::dialect::Dialect,
};
use ntpguard_common::{
    Decision, Reason, Verdict,
    abi::{CAUSES, Rule},
    decide,
};
use ntpguard_tests::{
    fixture::{Compiled, compile, path},
    frame::{Frame, payload},
    golden::{Expect, cases},
    judged::{Judged, through},
};

#[test]
fn the_host_does_what_the_golden_packets_say() {
    for case in cases() {
        let Compiled { conf, image, .. } =
            compile(Some(&path(case.fixture)), case.dialect, Hardening::ALL).unwrap();
        let found = match decide(case.frame.as_slice(), &image) {
            Decision::NotNtp | Decision::Truncated => Expect::Untouched,
            Decision::Judged(verdict) => {
                let cause =
                    image.rules.get(verdict.rule as usize).and_then(|rule| rule.cause(verdict.reason));
                Expect::Counted(verdict.reason, cause.map(|line| conf.place(line.index).span.line))
            }
        };
        assert_eq!(found, case.expect, "{} ({})", case.name, case.fixture);
        assert_eq!(conf.diagnostics, [], "{}", case.fixture);
    }
}

#[test]
fn the_kernel_does_what_the_golden_packets_say() {
    let Judged { run, left_out } = through(Object::Filter);
    println!("{run} golden packets; not on this kernel: {left_out:?}");
    assert!(run > 100);
}

/// Policies come into force one after the other, each in the slot that the previous one doesn't use.
#[test]
fn a_new_policy_replaces_the_old_one_whole() {
    let images = ["hosting.conf", "lan.conf", "flags.conf", "pool.conf", "hosting.conf"]
        .map(|fixture| compile(Some(&path(fixture)), Dialect::Ntp426, Hardening::ALL).unwrap().image);
    let mut guard = Guard::load(Object::Filter, Size::new(1)).unwrap();
    for image in &images {
        guard.install(image).unwrap();
        for case in cases().iter().filter(|case| case.linear.is_none()) {
            guard.maps.forget().unwrap();
            let action = guard.test_run(&case.frame, 1, None).unwrap().action;
            assert_eq!(action, decide(case.frame.as_slice(), image).action(), "{}", case.name);
        }
    }
}

/// Three policies, of which two have the same line at different places.
#[test]
fn a_rule_that_stays_keeps_its_hits() {
    let image = |fixture| compile(Some(&path(fixture)), Dialect::Ntp426, Hardening::ALL).unwrap().image;
    let image = image("hosting.conf");
    let frame = Frame::from("192.0.2.66", 40000).payload(&payload::time(3, 4)).build();
    let mut guard = Guard::load(Object::Filter, Size::new(1)).unwrap();
    guard.install(&image).unwrap();
    let hits = |guard: &Guard, rule: usize| {
        guard.maps.counters(true).unwrap().done.hits[rule * CAUSES.len()].packets
    };
    guard.test_run(&frame, 5, None).unwrap();
    let Decision::Judged(Verdict { rule, .. }) = decide(frame.as_slice(), &image) else { panic!("judged") };
    let rule = rule as usize;
    assert_eq!(hits(&guard, rule), 5);

    // Another policy, in which another rule takes the place of this one.
    let ignores = |other: &usize| *other != rule && image.rules.get(*other).unwrap().rule.has(Rule::IGNORE);
    let other = (0..image.rules.len()).find(ignores).unwrap();
    let carried = |from: usize, to: usize| -> Vec<_> {
        (0..image.rules.len()).map(|place| (place == to).then_some(from)).collect()
    };
    guard.maps.install(&image, &carried(rule, other)).unwrap();
    assert_eq!((hits(&guard, other), hits(&guard, rule)), (5, 0));
    guard.test_run(&frame, 2, None).unwrap();
    assert_eq!((hits(&guard, other), hits(&guard, rule)), (5, 2));

    // Back again, twice: hits that were carried over are carried over again.
    guard.maps.install(&image, &carried(other, rule)).unwrap();
    guard.maps.install(&image, &carried(rule, rule)).unwrap();
    guard.test_run(&frame, 1, None).unwrap();
    assert_eq!((hits(&guard, other), hits(&guard, rule)), (0, 6));
    let reasons = guard.maps.counters(false).unwrap();
    assert_eq!(reasons.of(Reason::Ignore).packets, 8);
}
