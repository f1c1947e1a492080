//! `cargo xtask bench`: what ntpguard costs, beside what else does the same.
//!
//! Contract: all that is compared is measured in turn in one run (`sample`). Frames stay in namespaces made here; time and
//! frames are bounded by the [`Plan`]. What this machine can't measure is told in the report.

pub mod beside;
pub mod budget;
pub mod clock;
pub mod cold;
pub mod install;
pub mod line;
pub mod live;
pub mod machine;
pub mod others;
pub mod packets;
pub mod peers;
pub mod policy;
pub mod report;
pub mod sample;
pub mod table;

use anyhow::{Context as _, Result};
use ntpguard::bpf::Guard;
use report::{Report, Section};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    rc::Rc,
    time::{Duration, Instant},
};

/// Filters by the number of their rules.
type Guards = RefCell<BTreeMap<u32, Rc<RefCell<Guard>>>>;

/// How long and how much.
pub struct Plan {
    /// It is to be over soon.
    pub quick: bool,
    /// Rounds in which everything takes its turn.
    pub rounds: usize,
    /// Frames of a test run in a round.
    pub repeat: u32,
    /// Frames of a flood in a round.
    pub frames: u32,
    /// Rounds of a client beside floods, each of which has so many floods.
    pub floods: usize,
    /// How long each of these goes on.
    pub flood: Duration,
    /// How long chronyd measures.
    pub clock: Duration,
    /// How often policies are installed.
    pub installs: usize,
    /// How many rules a policy may have at most for `ntpguard run` to be started with it.
    pub starts: u32,
    guards: Guards,
    began: Instant,
}

impl Plan {
    /// Everything, for figures to be published: about ten minutes.
    pub fn full() -> Self {
        Self {
            quick: false,
            rounds: 25,
            repeat: 200_000,
            frames: 200_000,
            floods: 3,
            flood: Duration::from_millis(1500),
            clock: Duration::from_secs(30),
            installs: 3,
            starts: u32::MAX,
            guards: Guards::default(),
            began: Instant::now(),
        }
    }

    /// The same with fewer rounds: under two minutes.
    pub fn quick() -> Self {
        Self {
            quick: true,
            rounds: 7,
            repeat: 50_000,
            frames: 50_000,
            floods: 1,
            flood: Duration::from_millis(500),
            clock: Duration::from_secs(3),
            installs: 1,
            starts: 100_000,
            ..Self::full()
        }
    }

    /// A filter with so many rules, which is made once: a million take their time.
    ///
    /// # Errors
    /// As [`policy::guard`].
    pub fn guard(&self, rules: u32) -> Result<Rc<RefCell<Guard>>> {
        let mut guards = self.guards.borrow_mut();
        if let Some(guard) = guards.get(&rules) {
            return Ok(Rc::clone(guard));
        }
        self.say(&format!("  a policy with {rules} rules"));
        let guard = Rc::new(RefCell::new(policy::guard(rules)?));
        guards.insert(rules, Rc::clone(&guard));
        Ok(guard)
    }

    /// Tells of progress, on standard error.
    pub fn say(&self, what: &str) {
        eprintln!("{:4} s {what}", self.began.elapsed().as_secs());
    }
}

/// Measures sections.
type Measure = fn(&Plan) -> Result<Section>;

/// All sections, in the order of the report.
pub const SECTIONS: &[(&str, Measure)] = &[
    ("packets", packets::packets),
    ("cold", cold::cold),
    ("others", others::others),
    ("live", live::live),
    ("beside", beside::beside),
    ("clock", clock::clock),
    ("install", install::install),
];

/// Measures sections, all of them if none is named.
///
/// # Errors
/// One can't be measured, with its name.
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
