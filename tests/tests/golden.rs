//! Every golden packet through the host's function and through the kernel: action, counter, line.

use ntpguard::{
    bpf::{Guard, Object, Size},
    compile::{Hardening, Image},
    dialect::Dialect,
};
use ntpguard_common::{
    Action, Decision, Reason, Verdict,
    abi::{CAUSES, Rule},
    decide,
};
use ntpguard_tests::{
    fixture::{Compiled, compile, path},
    frame::{Frame, payload},
    golden::{Expect, Golden, cases},
};
use std::collections::BTreeMap;

/// The first kernel that lets a test run choose the length of the first buffer.
const CHOOSES_LINEAR: (u32, u32) = (6, 18);

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
                Expect::Counted(verdict.reason, cause.map(|line| line.place.span.line))
            }
        };
        assert_eq!(found, case.expect, "{} ({})", case.name, case.fixture);
        assert_eq!(conf.diagnostics, [], "{}", case.fixture);
    }
}

#[test]
fn the_kernel_does_what_the_golden_packets_say() {
    let mut run = 0;
    let mut guards = BTreeMap::new();
    for case in cases() {
        if case.linear.is_some() && kernel() < CHOOSES_LINEAR {
            println!("not on this kernel: {}", case.name);
            continue;
        }
        let (guard, image) = guards.entry((case.fixture, case.dialect as u8)).or_insert_with(|| {
            let Compiled { image, .. } =
                compile(Some(&path(case.fixture)), case.dialect, Hardening::ALL).unwrap();
            let mut guard = Guard::load(Object::Filter, Size::new(1)).unwrap();
            guard.install(&image).unwrap();
            (guard, image)
        });
        judge(guard, &case, image);
        run += 1;
    }
    println!("{run} golden packets on Linux {:?}", kernel());
    assert!(run > 100);
}

fn judge(guard: &mut Guard, case: &Golden, image: &Image) {
    // Many cases share a source.
    guard.maps.forget().unwrap();
    let before = guard.maps.counters(true).unwrap();
    let result = guard
        .test_run(&case.frame, 1, case.linear)
        .unwrap_or_else(|error| panic!("{}: {error:#}", case.name));
    let counted = guard.maps.counters(true).unwrap().since(&before);
    let moved: Vec<_> = (0..).zip(&counted.reasons).filter(|(_, counter)| counter.packets > 0).collect();
    let (action, reason) = match case.expect {
        Expect::Untouched => (Action::Pass, None),
        Expect::Counted(reason, _) => (reason.action(), Some(reason)),
    };
    assert_eq!(result.action, action, "{}", case.name);
    assert_eq!(moved.len(), usize::from(reason.is_some()), "{}: {moved:?}", case.name);
    if let Some(reason) = reason {
        let (index, counter) = moved[0];
        assert_eq!(
            (index, counter.packets, counter.bytes),
            (reason.index(), 1, case.frame.len() as u64),
            "{}",
            case.name
        );
    }
    let causes = image.rules.iter().flat_map(|rule| CAUSES.map(|cause| rule.cause(cause)));
    let hits: Vec<_> = causes.zip(&counted.hits).filter(|(_, hits)| hits.packets > 0).collect();
    let line = hits.first().and_then(|(line, _)| *line);
    let wanted = if let Expect::Counted(_, line) = case.expect { line } else { None };
    assert_eq!(line.map(|line| line.place.span.line), wanted, "{}", case.name);
}

fn kernel() -> (u32, u32) {
    let release = nix::sys::utsname::uname().unwrap().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// Policies come into force one after the other, each in the slot that the one before isn't in.
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

/// Three policies, two of them with the same line at another place.
#[test]
fn a_rule_that_stays_keeps_its_hits() {
    let image = |fixture| compile(Some(&path(fixture)), Dialect::Ntp426, Hardening::ALL).unwrap().image;
    let image = image("hosting.conf");
    let frame = Frame::from("192.0.2.66", 40000).payload(&payload::time(3, 4)).build();
    let mut guard = Guard::load(Object::Filter, Size::new(1)).unwrap();
    guard.install(&image).unwrap();
    let hits =
        |guard: &Guard, rule: usize| guard.maps.counters(true).unwrap().hits[rule * CAUSES.len()].packets;
    guard.test_run(&frame, 5, None).unwrap();
    let Decision::Judged(Verdict { rule, .. }) = decide(frame.as_slice(), &image) else { panic!("judged") };
    let rule = rule as usize;
    assert_eq!(hits(&guard, rule), 5);

    // Another policy, in which another rule is what that one was.
    let ignores = |other: &usize| *other != rule && image.rules[*other].rule.has(Rule::IGNORE);
    let other = (0..image.rules.len()).find(ignores).unwrap();
    let carried = |from: usize, to: usize| -> Vec<_> {
        (0..image.rules.len()).map(|place| (place == to).then_some(from)).collect()
    };
    guard.maps.install(&image, &carried(rule, other)).unwrap();
    assert_eq!((hits(&guard, other), hits(&guard, rule)), (5, 0));
    guard.test_run(&frame, 2, None).unwrap();
    assert_eq!((hits(&guard, other), hits(&guard, rule)), (5, 2));

    // And back, twice: what came over comes over again.
    guard.maps.install(&image, &carried(other, rule)).unwrap();
    guard.maps.install(&image, &carried(rule, rule)).unwrap();
    guard.test_run(&frame, 1, None).unwrap();
    assert_eq!((hits(&guard, other), hits(&guard, rule)), (0, 6));
    let reasons = guard.maps.counters(false).unwrap();
    assert_eq!(reasons.of(Reason::Ignore).packets, 8);
}
