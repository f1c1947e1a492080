//! Single frames, repeated (BPF_PROG_TEST_RUN): the cost of the program alone, with hot caches.

use super::{
    Plan,
    budget::Id,
    policy::{RULES, monlist, request},
    report::{Cell, Section},
    sample::Rounds,
};
use crate::{
    bpf::{Bare, spread},
    frame::{Frame, payload},
};
use anyhow::{Context as _, Result, ensure};
use ntpguard_common::Action;
use std::net::Ipv4Addr;

/// A frame, and the expected action.
struct Case {
    name: &'static str,
    frame: Vec<u8>,
    action: Action,
    /// Whether it needs a rule.
    ruled: bool,
    /// Its budgets, by number of rules.
    budgets: &'static [(u32, Id)],
}

fn cases() -> Vec<Case> {
    use Action::{Drop, Pass};
    let case = |name, frame: Frame, action, budgets| Case {
        name,
        frame: frame.build(),
        action,
        ruled: false,
        budgets,
    };
    let ignored = Ipv4Addr::from_bits(spread::address(5)).to_string();
    let readvar = Frame::from("192.0.2.66", 40000).payload(payload::READVAR);
    vec![
        case("monlist", monlist(), Drop, &[(10, Id::Monlist)]),
        case("readvar", readvar, Drop, &[(10, Id::Readvar)]),
        Case {
            ruled: true,
            ..case(
                "time request, ignored source",
                request(&ignored),
                Drop,
                &[(1000, Id::Ignored1000), (1_000_000, Id::IgnoredMillion)],
            )
        },
        case("time request, served", request("192.0.2.66"), Pass, &[(10, Id::Allowed)]),
        case("time request, over its limit", request("32.1.2.3"), Drop, &[]),
        case("UDP to port 53", request("192.0.2.66").to_port(53), Pass, &[(10, Id::Other)]),
        case("TCP to port 123", request("192.0.2.66").protocol(6), Pass, &[]),
        case("time request over IPv6, served", request("2001:db8::66"), Pass, &[]),
        case("monlist over IPv6", Frame::from("2001:db8::66", 40000).payload(payload::MONLIST), Drop, &[]),
        case("monlist with a VLAN tag", monlist().vlan(0x8100, 7), Drop, &[]),
    ]
}

/// Measures all frames with each number of rules.
///
/// # Errors
/// A frame isn't treated as it should be, or there is no right to do so.
pub fn packets(plan: &Plan) -> Result<Section> {
    let floor = Bare::dropping()?;
    let guards = RULES.iter().map(|rules| plan.guard(*rules)).collect::<Result<Vec<_>>>()?;
    let cases = cases();
    // The first rules are in every policy that has rules.
    let variants: Vec<(usize, usize)> = (0..cases.len())
        .flat_map(|case| (0..RULES.len()).map(move |rules| (case, rules)))
        .filter(|&(case, rules)| RULES[rules] > 0 || !cases[case].ruled)
        .collect();
    for &(case, rules) in &variants {
        // Brings the source over its limit: only one packet a clock tick or less would stay within it.
        guards[rules].borrow_mut().test_run(&cases[case].frame, 1000, None)?;
    }
    let rounds = Rounds::run(variants.len() + 1, plan.rounds, |variant| {
        let Some((case, rules)) = variant.checked_sub(1).map(|place| variants[place]) else {
            return Ok(floor.test_run(&cases[0].frame, plan.repeat)?.duration.as_nanos() as f64);
        };
        let case = &cases[case];
        let run = guards[rules].borrow_mut().test_run(&case.frame, plan.repeat, None)?;
        ensure!(run.action == case.action, "{}: {:?} with {} rules", case.name, run.action, RULES[rules]);
        Ok(run.duration.as_nanos() as f64)
    })?;
    let place = |case: usize, rules: u32| {
        variants.iter().position(|&(of, at)| of == case && RULES[at] == rules).map(|place| place + 1)
    };

    let mut section = Section {
        name: "packets",
        title: "One frame, hot caches (BPF_PROG_TEST_RUN)",
        how: format!(
            "Nanoseconds a frame over a bare XDP_DROP (which takes {:.0} ns here, almost all of it the test run itself), by \
             the number of `ignore` rules. Each value is the median of {} rounds in which everything took its turn with {} \
             frames; in brackets the quartiles. The kernel tells whole nanoseconds.",
            rounds.total(0).context("no rounds")?.median,
            plan.rounds,
            plan.repeat
        ),
        head: vec!["frame", "1,000,000 : 10", "0 rules", "10", "1,000", "100,000", "1,000,000"],
        ..Section::default()
    };
    for (number, case) in cases.iter().enumerate() {
        let over = |rules| place(number, rules).and_then(|place| rounds.over(place, 0));
        let many = place(number, 1_000_000).zip(place(number, 10));
        let ratio = many.and_then(|(many, few)| rounds.ratio_over([many, 0], [few, 0]));
        let cells = RULES.map(|rules| Cell::measured(over(rules)));
        section.rows.push([vec![Cell::Text(case.name.into()), Cell::ratio(ratio)], cells.to_vec()].concat());
        let found = case.budgets.iter().filter_map(|&(rules, id)| Some((id, over(rules)?.median)));
        section.found.extend(found);
        if case.ruled {
            section.found.extend(ratio.map(|ratio| (Id::MillionToTen, ratio)));
        }
    }
    Ok(section)
}
