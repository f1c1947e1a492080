//! Clients' clocks: how ntpguard between a client and a server affects a chronyd's measurements.

use super::{
    Plan,
    budget::Id,
    peers::{Filter, Guarded},
    policy,
    report::{Cell, Section},
    sample::Spread,
};
use crate::{
    chrony::{Chronyd, Sample},
    frame::SERVER_V4,
    netns::Lab,
    ntpd::Ntpd,
};
use anyhow::{Context as _, Result};
use std::thread;

/// The wires, in the order in which they are set up.
const NAMES: [&str; 5] = [
    "without",
    "without, once more",
    "without, polled (GRO on)",
    "a program that only passes",
    "ntpguard, 1,000 rules",
];

/// Measures with ntpguard and without it, at the same time.
///
/// # Errors
/// No right to do so, or a daemon doesn't start.
pub fn clock(plan: &Plan) -> Result<Section> {
    let mut section = Section {
        name: "clock",
        title: "A chronyd through the guard",
        how: format!(
            "chronyd asks NTPsec's ntpd 64 times a second for {} s, over five wires at the same time: two without \
             a guard, which shows what chance does; one whose veth polls; one with an XDP program that says XDP_PASS \
             and nothing else; and one with ntpguard. Both ends have the same clock, so that every offset is half of \
             what one way takes longer than the other. Ratios and differences are of medians, to the first wire.",
            plan.clock.as_secs()
        ),
        head: vec!["wire", "delay : without", "offset − without, µs", "offset, µs", "delay, µs", "answers"],
        ..Section::default()
    };
    let guarded = Guarded::new(Filter::Ntpguard)?;
    let bare = [Lab::new()?, Lab::new()?];
    let polled = Guarded::new(Filter::None)?;
    let passed = Guarded::new(Filter::Pass)?;
    let labs = [&bare[0], &bare[1], &polled.lab, &passed.lab, &guarded.lab];
    let _daemons = Ntpd::start_all(labs.iter().map(|lab| &lab.server), policy::DAEMON)?;
    let clients: Result<Vec<_>> = labs.iter().map(|lab| Chronyd::start(&lab.outside, SERVER_V4)).collect();
    let clients = match clients {
        Ok(clients) => clients,
        Err(error) => {
            section.missing.push(format!("{error:#}"));
            return Ok(section);
        }
    };
    thread::sleep(plan.clock);
    let mut base: Option<[f64; 2]> = None;
    for (name, client) in NAMES.iter().zip(clients) {
        let samples = client.end()?;
        let of = |value: fn(&Sample) -> f64| {
            Spread::of(samples.iter().map(|sample| value(sample) * 1e6)).context("no answers")
        };
        let (offset, delay) = (of(|sample| sample.offset)?, of(|sample| sample.delay)?);
        let [base_offset, base_delay] = *base.get_or_insert([offset.median, delay.median]);
        let difference = offset.median - base_offset;
        section.rows.push(vec![
            Cell::Text((*name).into()),
            Cell::Ratio(delay.median / base_delay),
            Cell::Number(difference),
            Cell::Measured(offset),
            Cell::Measured(delay),
            Cell::Number(samples.len() as f64),
        ]);
        if name.starts_with("ntpguard") {
            section.found.push((Id::ClockOffset, difference.abs()));
        }
    }
    Ok(section)
}
