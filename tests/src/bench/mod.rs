//! `cargo xtask bench`: what ntpguard costs, compared with other programs that do the same.
//!
//! Contract: everything that is compared is measured in turn within one run (`sample`). Frames stay in namespaces made here; time
//! and number of frames are bounded by the [`Plan`]. What can't be measured on this machine is noted in the report.

pub mod beside;
pub mod budget;
pub mod clock;
pub mod cold;
pub mod hooks;
pub mod install;
pub mod leaving;
pub mod line;
pub mod live;
pub mod machine;
pub mod others;
pub mod packets;
pub mod peers;
mod plan;
pub mod policy;
pub mod report;
pub mod sample;
pub mod sketch;
pub mod table;

pub use plan::Plan;

use anyhow::{Context as _, Result};
use report::{Report, Section};

/// Measures one section.
type Measure = fn(&Plan) -> Result<Section>;

/// All sections, in the order of the report.
pub const SECTIONS: &[(&str, Measure)] = &[
    ("packets", packets::packets),
    ("hooks", hooks::hooks),
    ("limits", hooks::limits),
    ("leaving", leaving::leaving),
    ("cold", cold::cold),
    ("others", others::others),
    ("live", live::live),
    ("beside", beside::beside),
    ("clock", clock::clock),
    ("install", install::install),
    ("sketch", sketch::sketch),
];

/// Measures the named sections, or all if none is named.
///
/// # Errors
/// A section can't be measured; the error names it.
pub fn run(plan: &Plan, only: &[String]) -> Result<Report> {
    let mut machine = machine::machine();
    let quick = if plan.quick { "with `--quick`, " } else { "" };
    machine.push(("run", format!("{quick}{} rounds", plan.rounds)));
    let mut sections = Vec::new();
    let wanted = |name: &str| only.is_empty() || only.iter().any(|one| one == name);
    for (name, measure) in SECTIONS.iter().filter(|(name, _)| wanted(name)) {
        plan.say(name);
        sections.push(measure(plan).with_context(|| format!("measuring {name}"))?);
    }
    sections.extend(line::line(&sections));
    plan.say("done");
    Ok(Report { machine, sections })
}
