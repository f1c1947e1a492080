//! Runs golden packets through a program in the kernel and checks action, counter and line.

use crate::{
    fixture::{Compiled, compile, path},
    golden::{Expect, Golden, cases},
};
use ntpguard::{
    bpf::{Guard, Object, Size},
    compile::Hardening,
};
use ntpguard_common::{Action, Reason, abi::CAUSES};
use std::collections::BTreeMap;

/// The first kernel in which a test run can choose the length of the first buffer; only for XDP.
const CHOOSES_LINEAR: (u32, u32) = (6, 18);

/// The result of running the golden packets.
pub struct Judged {
    /// The number of packets that were treated as expected.
    pub run: usize,
    /// Packets that the kernel can't run ([`is_runnable`]).
    pub left_out: Vec<&'static str>,
}

/// Runs all golden packets.
///
/// # Panics
/// A packet isn't treated as expected.
pub fn through(object: Object) -> Judged {
    let mut judged = Judged { run: 0, left_out: Vec::new() };
    let mut guards = BTreeMap::new();
    for case in cases() {
        if !is_runnable(object, &case.frame, case.linear) {
            judged.left_out.push(case.name);
            continue;
        }
        let (guard, compiled) = guards.entry((case.fixture, case.dialect as u8)).or_insert_with(|| {
            let compiled = compile(Some(&path(case.fixture)), case.dialect, Hardening::ALL).unwrap();
            let mut guard = Guard::load(object, Size::new(1)).unwrap();
            guard.install(&compiled.image).unwrap();
            (guard, compiled)
        });
        judge(guard, &case, compiled);
        judged.run += 1;
    }
    judged
}

/// Whether a test run accepts a frame. A test run of a tc program puts it into one contiguous buffer, so it must fit into a
/// page together with what the kernel adds; and it must contain the whole IP header that its EtherType announces
/// (net/bpf/test_run.c:bpf_prog_test_run_skb, in 6.18).
pub fn is_runnable(object: Object, frame: &[u8], linear: Option<u32>) -> bool {
    const LONGEST: usize = 3500;
    if object != Object::Tc {
        return linear.is_none() || kernel() >= CHOOSES_LINEAR;
    }
    let headers = match frame.get(12..14) {
        Some([0x08, 0x00]) => 14 + 20,
        Some([0x86, 0xdd]) => 14 + 40,
        _ => 14,
    };
    linear.is_none() && (headers..LONGEST).contains(&frame.len())
}

fn judge(guard: &mut Guard, case: &Golden, Compiled { conf, image, .. }: &Compiled) {
    // Many cases have the same source, so the limiter state is reset.
    guard.maps.forget().unwrap();
    let before = guard.maps.counters(true).unwrap();
    let result = guard
        .test_run(&case.frame, 1, case.linear)
        .unwrap_or_else(|error| panic!("{}: {error:#}", case.name));
    let counted = guard.maps.counters(true).unwrap().since(&before);
    let moved = Reason::ALL.iter().map(|reason| (*reason, counted.of(*reason)));
    let moved: Vec<_> = moved.filter(|(_, counter)| counter.packets > 0).collect();
    let (action, reason) = match case.expect {
        Expect::Untouched => (Action::Pass, None),
        Expect::Counted(reason, _) => (reason.action(), Some(reason)),
    };
    assert_eq!(result.action, action, "{}", case.name);
    assert_eq!(moved.len(), usize::from(reason.is_some()), "{}: {moved:?}", case.name);
    if let Some(reason) = reason {
        let (found, counter) = moved[0];
        assert_eq!(
            (found, counter.packets, counter.bytes),
            (reason, 1, case.frame.len() as u64),
            "{}",
            case.name
        );
    }
    let causes = image.rules.iter().flat_map(|rule| CAUSES.map(|cause| rule.cause(cause)));
    let hits: Vec<_> = causes.zip(&counted.done.hits).filter(|(_, hits)| hits.packets > 0).collect();
    let line = hits.first().and_then(|(line, _)| *line);
    let wanted = if let Expect::Counted(_, line) = case.expect { line } else { None };
    assert_eq!(line.map(|line| conf.place(line.index).span.line), wanted, "{}", case.name);
}

/// The running kernel's version.
///
/// # Panics
/// Its release doesn't begin with a version.
pub fn kernel() -> (u32, u32) {
    let release = nix::sys::utsname::uname().unwrap().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}
