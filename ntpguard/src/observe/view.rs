//! A view of what another process guards: the pinned maps, and the state.
//!
//! Contract: it only reads. No map is written, no lock is taken, and it needs no right beyond reading what a group may be
//! given.

use crate::{
    bpf::{MapFolder, Maps, Pins, snapshot::Snapshot},
    compile::Counters,
    conf::MEMORY,
    guard::{
        instance,
        options::Places,
        state::{InForce, State},
    },
    observe::{
        life::InterfaceReading,
        limited::{self, Reader, Tracked},
    },
    policy::limiter::Clock,
};
use anyhow::{Context as _, Result};
use ntpguard_common::abi::PolicyWord;
use std::{
    collections::HashMap,
    net::IpAddr,
    thread::sleep,
    time::{Duration, Instant},
};

/// How long to wait until the state has a policy that has just come into force.
const STATE_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// The pinned maps and the state at one moment.
pub(crate) struct FilterView {
    maps: Maps,
    /// Which maps these are: other maps count from zero.
    pub(crate) identity: u32,
    pub(crate) word: PolicyWord,
    pub(crate) counted: Snapshot,
    pub(crate) state: Option<State>,
    /// Why it is unknown which rules the hits belong to.
    pub(crate) unknown: Option<String>,
    pub(crate) taken: Instant,
}

impl FilterView {
    /// Takes a view. If a policy comes into force meanwhile, or other maps replace these, it is taken again.
    ///
    /// # Errors
    /// Nothing is guarded, or this user lacks the right.
    pub(crate) fn take(places: &Places) -> Result<Self> {
        let start = Instant::now();
        loop {
            let place = Pins::seen(&places.pin_path)?.with_context(|| instance::nothing(&places.pin_path))?;
            let patient = start.elapsed() < STATE_TIMEOUT;
            match Self::once(places, place, patient) {
                Ok(Some(view)) => return Ok(view),
                Err(error) if !patient => return Err(error),
                _ => sleep(PAUSE),
            }
        }
    }

    /// A single attempt; `None` if something was changing and there is time for another one (`patient`).
    fn once(places: &Places, place: MapFolder, patient: bool) -> Result<Option<Self>> {
        let mut maps = Maps::look(place)?;
        let word = maps.word()?;
        let (state, mut unknown) = match State::load(&places.state_dir) {
            Ok(Some(state)) => (Some(state), None),
            Ok(None) => (None, Some(format!("there is no state in {}", places.state_dir.display()))),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        let known = state.as_ref().and_then(|state| state.known(word.generation));
        if state.is_some() && known.is_none() {
            if patient {
                return Ok(None);
            }
            unknown =
                Some(format!("nobody has written down whose the hits of policy {} are", word.generation));
        }
        if let Some(known) = known {
            maps.know(Counters::new(known.flags.iter().copied()));
        }
        let counted = maps.counters(known.is_some())?;
        let taken = Instant::now();
        let same = maps.word()?.generation == word.generation;
        let identity = maps.identity()?;
        Ok((same || !patient).then_some(Self { maps, identity, word, counted, state, unknown, taken }))
    }

    /// How many frames were received, and how many the filter saw, up to now.
    pub(crate) fn reading(&self) -> Result<InterfaceReading> {
        InterfaceReading::take(&self.maps)
    }

    /// The counters without hits. Hits have no rates, because another policy has other rules.
    pub(crate) fn reasons(&self) -> Snapshot {
        self.counted.clone().without_hits()
    }

    pub(crate) fn policy(&self) -> Option<&InForce> {
        self.state.as_ref()?.known(self.word.generation)
    }

    /// Which sources are tracked, and which were limited most since they had these totals.
    pub(crate) fn tracked(&self, limited: HashMap<IpAddr, u64>, most: usize) -> Result<Tracked> {
        let clock = Clock::of_kernel()?;
        let (sources, heavy) = (self.maps.sources()?, self.maps.heavy()?);
        let mut reader = Reader::since(limited, most);
        Ok(reader.read(sources.values(), heavy.values(), clock.now()?, MEMORY * clock.hz))
    }

    /// How often each candidate for "limited most" was limited, at least.
    pub(crate) fn limited(&self) -> Result<HashMap<IpAddr, u64>> {
        Ok(limited::totals(self.maps.heavy()?.values()))
    }

    /// Whether an earlier view has the same counters, which have only grown since.
    pub(crate) fn goes_on_from(&self, earlier: &Self) -> bool {
        earlier.identity == self.identity && self.counted.reaches(&earlier.counted)
    }
}
