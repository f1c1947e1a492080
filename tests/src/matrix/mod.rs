//! The matrix of network cards: each kind of card in a guest under QEMU, tested from outside the guest.
//!
//! Contract: the guest's cards are connected to a namespace that this process made; QEMU ends with the process, and nothing
//! else is touched.

pub mod agent;
mod baseline;
pub mod card;
pub mod course;
mod judge;
mod leave;
mod looks;
pub mod machine;
pub mod outside;
pub mod page;
mod probe;
mod says;
pub mod verdict;

use self::{
    card::Card,
    course::Course,
    machine::{Boot, Machine},
    outside::Outside,
    verdict::{Run, Step, Verdict},
};
use anyhow::Result;
use std::time::Instant;

/// Takes a card through its course on a kernel.
///
/// # Errors
/// No QEMU can be run. All other problems are steps of the result, including a guest that doesn't boot or can't be reached
/// without ntpguard.
pub fn run(boot: &Boot, card: Card) -> Result<Run> {
    let label = format!("{} on {}", card.name(), boot.kernel);
    let start = Instant::now();
    let mut run = Run {
        kernel: boot.kernel.clone(),
        card,
        mode: None,
        steps: Vec::new(),
        boot: start.elapsed(),
        took: start.elapsed(),
    };
    if !Machine::has(boot, card)? {
        let note = format!("this QEMU has no {}", card.model());
        println!("{label}: not run: {note}");
        run.steps.push(Step { name: "boot", verdict: Verdict::NotRun, note });
        return Ok(run);
    }
    if let Err(error) = take(boot, card, start, &mut run) {
        println!("{label}: {error:#}");
        run.steps.push(Step { name: "end", verdict: Verdict::Wrong, note: format!("{error:#}") });
    }
    run.took = start.elapsed();
    let [took, boot] = [run.took, run.boot].map(|time| time.as_secs_f32());
    println!("{label}: {took:.1} s, of which the boot took {boot:.1} s");
    Ok(run)
}

/// Boots the guest and runs the whole course; if there is an error, the steps before it are in `run`.
fn take(boot: &Boot, card: Card, start: Instant, run: &mut Run) -> Result<()> {
    let outside = Outside::new(card)?;
    let mut machine = Machine::start(boot, card, &outside.netns)?;
    run.boot = start.elapsed();
    let mut course = Course::new(&mut machine, &outside, card, &boot.kernel)?;
    let done = course.run();
    (run.mode, run.steps) = (course.mode.take(), std::mem::take(&mut course.steps));
    done
}
