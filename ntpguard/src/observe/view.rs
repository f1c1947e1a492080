//! A look at what another process guards: the maps that are pinned, and what is known about them.
//!
//! Contract: it reads. No map is written, no lock is taken, and no right is needed but to read what is shown.

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
        life::Reading,
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

/// How long to wait for a policy that has come into force to be written down.
const STATE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// One look at what is pinned, and at what is known about it.
pub(crate) struct FilterView {
    maps: Maps,
    /// Which maps these are: others count from zero.
    pub(crate) identity: u32,
    pub(crate) word: PolicyWord,
    pub(crate) counted: Snapshot,
    pub(crate) state: Option<State>,
    /// Why nobody knows whose the hits are.
    pub(crate) unknown: Option<String>,
    pub(crate) taken: Instant,
}

impl FilterView {
    /// Takes one. A policy may come into force meanwhile, or other maps take the place of these: then it is taken again.
    ///
    /// # Errors
    /// Nothing is guarded, or this user may not look.
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

    /// `None` where something was about to change, and there is time to look again.
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

    /// What came in and what the filter saw of it, now.
    pub(crate) fn reading(&self) -> Result<Reading> {
        Reading::take(&self.maps)
    }

    /// What was counted without hits, which have no rates: another policy has others.
    pub(crate) fn reasons(&self) -> Snapshot {
        self.counted.clone().without_hits()
    }

    pub(crate) fn policy(&self) -> Option<&InForce> {
        self.state.as_ref()?.known(self.word.generation)
    }

    /// Who is remembered, and who was limited most since others had been.
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

    /// Whether an earlier look is at the same counters, which have only grown since.
    pub(crate) fn goes_on_from(&self, earlier: &Self) -> bool {
        earlier.identity == self.identity && self.counted.reaches(&earlier.counted)
    }
}
