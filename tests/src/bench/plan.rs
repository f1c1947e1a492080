//! How long and how often things are measured, and the filters that all sections share.

use super::policy;
use anyhow::Result;
use ntpguard::bpf::Guard;
use std::{
    cell::RefCell,
    collections::BTreeMap,
    rc::Rc,
    time::{Duration, Instant},
};

/// Filters by the number of their rules.
type Guards = RefCell<BTreeMap<u32, Rc<RefCell<Guard>>>>;

/// How long and how often things are measured.
pub struct Plan {
    /// Whether this is the quick plan.
    pub quick: bool,
    /// Number of rounds, in each of which every variant is measured once.
    pub rounds: usize,
    /// Number of frames in a test run.
    pub repeat: u32,
    /// Number of frames of a flood in a round.
    pub frames: u32,
    /// Number of rounds of a client beside floods.
    pub floods: usize,
    /// Duration of each of these floods.
    pub flood: Duration,
    /// How long chronyd measures.
    pub clock: Duration,
    /// How often each policy is installed.
    pub installs: usize,
    /// The largest policy, in rules, with which `ntpguard run` is started.
    pub starts: u32,
    guards: Guards,
    began: Instant,
}

impl Plan {
    /// The plan for figures to be published: about ten minutes.
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

    /// A filter with this many rules. It is made once, since a million rules take their time.
    ///
    /// # Errors
    /// The same as those of [`policy::guard`].
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

    /// Reports progress on standard error.
    pub fn say(&self, what: &str) {
        eprintln!("{:4} s {what}", self.began.elapsed().as_secs());
    }
}
