//! The sketch of sources that `events`, `top` and `report` keep: how long adding one packet takes.

use super::{
    Plan,
    cold::grouped,
    report::{Cell, Section},
    sample::Rounds,
};
use crate::random::Random;
use anyhow::Result;
use ntpguard::observe::{estimate::Estimate, sketch::Sketch};
use std::{net::IpAddr, time::Instant};

/// Sizes of the sketch in sources: the sizes that the product uses are within this range.
const PLACES: [usize; 3] = [256, 1024, 8192];

/// Measures a stream in which almost every packet has a new source, which is the most work.
///
/// # Errors
/// None; the signature is that of all sections.
pub fn sketch(plan: &Plan) -> Result<Section> {
    let mut random = Random::new(2);
    let mut made_up = || IpAddr::from((random.next() as u32 | 1 << 31).to_be_bytes());
    let heavy = |at: u32| IpAddr::from((at % 10 + 1).to_be_bytes());
    // Ten sources, each with 1/260 of the stream, come before all others.
    let stream: Vec<_> =
        (0..plan.repeat / 26).map(heavy).chain((0..plan.repeat / 26 * 25).map(|_| made_up())).collect();
    let rounds = Rounds::run(PLACES.len(), plan.rounds, |number| {
        let mut sketch = Sketch::new(PLACES[number]);
        let start = Instant::now();
        stream.iter().for_each(|source| sketch.add(*source, Estimate::sample(1, 90, 0)));
        Ok(start.elapsed().as_nanos() as f64 / stream.len() as f64)
    })?;
    let rows = PLACES.iter().enumerate().map(|(number, places)| {
        vec![Cell::Text(grouped(*places as u32)), Cell::measured(rounds.total(number))]
    });
    Ok(Section {
        name: "sketch",
        title: "A source more in a sketch",
        how: format!(
            "Nanoseconds for one more sampled packet, almost every one of which has another source, {} rounds of {} packets.",
            plan.rounds,
            stream.len()
        ),
        head: vec!["places", "ns"],
        rows: rows.collect(),
        ..Section::default()
    })
}
