//! How long is measured, and how much; and the filters that all sections share.

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
