//! ntpguard and xdp-filter on the same frames (BPF_PROG_TEST_RUN), with equivalent rules.

use super::{
    Plan,
    budget::Id,
    peers::{Filter, Guarded, REFUSED},
    policy::{self, monlist, request},
    report::{Cell, Section},
    sample::Rounds,
};
use crate::bpf::{Bare, Loaded, spread};
use anyhow::{Context as _, Result, ensure};
use ntpguard_common::Action;
use std::net::Ipv4Addr;

/// Measures both filters.
///
/// # Errors
/// No right to do so, or an installed filter passes a frame.
pub fn others(plan: &Plan) -> Result<Section> {
    let mut section = Section {
        name: "others",
        title: "Beside xdp-filter (BPF_PROG_TEST_RUN)",
        how: format!(
            "xdp-filter of xdp-tools with port 123 closed and {REFUSED} addresses, ntpguard with nobody who may query and \
             {REFUSED} rules against the same addresses and their networks. Nanoseconds over a bare XDP_DROP, {} rounds of \
             {} frames, caches hot.",
            plan.rounds, plan.repeat
        ),
        head: vec!["frame, dropped by both", "ntpguard : xdp-filter", "ntpguard, ns", "xdp-filter, ns"],
        ..Section::default()
    };
    let guarded = match Guarded::new(Filter::XdpFilter) {
        Ok(guarded) => guarded,
        Err(error) => {
            section.missing.push(format!("{error:#}"));
            return Ok(section);
        }
    };
    let id = *guarded.lab.attached()?.first().context("xdp-filter isn't attached")?;
    let xdp_filter = Loaded::open(u32::try_from(id)?)?;
    let floor = Bare::dropping()?;
    let mut guard = policy::guard(REFUSED)?;
    let refused = Ipv4Addr::from_bits(spread::address(5)).to_string();
    let frames = [
        ("monlist", monlist().build(), Id::XdpFilterQuery),
        ("time request of a refused source", request(&refused).build(), Id::XdpFilterSource),
    ];
    let rounds = Rounds::run(1 + 2 * frames.len(), plan.rounds, |number| {
        let Some(place) = number.checked_sub(1) else {
            return Ok(floor.test_run(&frames[0].1, plan.repeat)?.duration.as_nanos() as f64);
        };
        let (name, frame, _) = &frames[place / 2];
        let run = match place % 2 {
            0 => guard.test_run(frame, plan.repeat, None)?,
            _ => xdp_filter.test_run(frame, plan.repeat)?,
        };
        ensure!(run.action == Action::Drop, "{name}: {:?}", run.action);
        Ok(run.duration.as_nanos() as f64)
    })?;
    for (number, (name, _, id)) in frames.iter().enumerate() {
        let [ours, theirs] = [1 + 2 * number, 2 + 2 * number];
        let ratio = rounds.ratio_over([ours, 0], [theirs, 0]);
        section.rows.push(vec![
            Cell::Text((*name).into()),
            Cell::ratio(ratio),
            Cell::measured(rounds.over(ours, 0)),
            Cell::measured(rounds.over(theirs, 0)),
        ]);
        section.found.extend(ratio.map(|ratio| (*id, ratio)));
    }
    Ok(section)
}
