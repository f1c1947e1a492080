//! The limiter's state on the host: the same code as in the kernel, with a clock that is set by the caller.

use crate::{
    compile::Image,
    policy::limiter::{self, Clock},
};
use ntpguard_common::{
    Decision, LimiterState, Reason, Source, Verdict,
    abi::Limits,
    decide,
    hash::Seed,
    kiss::{self, Sums},
    limit::{
        self, LimitRequest,
        ceiling::{Ceiling, Kisses},
        table::Set,
        top::{CANDIDATES, Heavy},
    },
};
use std::{cell::Cell, time::Duration};

/// Not secret, so that a model gives the same verdicts in every run: the first bits of e, π and φ.
const SEED: Seed = [0xadf8_5458_a2bb_4a9a, 0x2437_f6a8_885a_308d, 0x9e37_79b9_7f4a_7c15];

/// The state of a limiter that belongs to no filter.
pub struct Model {
    limits: Limits,
    sets: Vec<Set>,
    heavy: Vec<Heavy>,
    ceiling: Ceiling,
    kisses: Kisses,
    now: Cell<u32>,
    random: Cell<u64>,
}

impl Model {
    /// A model that has seen nothing yet, with room for `sources` sources (a power of two).
    pub fn new(image: &Image, clock: Clock, sources: u32) -> Self {
        let sets = Set::count(sources);
        Self {
            limits: limiter::limits(&image.limiter, &image.bounds, clock, SEED),
            sets: (0..sets).map(|_| Set::default()).collect(),
            heavy: (0..CANDIDATES).map(|_| Heavy::default()).collect(),
            ceiling: Ceiling::default(),
            kisses: Kisses::default(),
            // Not a time that an initial state has.
            now: Cell::new(1 << 20),
            random: Cell::new(0x6e74_7067_7561_7264),
        }
    }

    /// Replaces the hash seed.
    #[must_use]
    pub fn seeded(mut self, seed: Seed) -> Self {
        self.limits.seed = seed;
        self
    }

    /// The key under which it tracks the source of a packet with a payload of this length.
    pub fn key(&self, request: LimitRequest, source: &Source, length: usize) -> u64 {
        request.key(&self.limits, source, length)
    }

    /// Judges a frame at the present time.
    pub fn judge(&self, image: &Image, frame: &[u8]) -> Decision {
        let decision = decide(frame, image);
        let Decision::Judged(verdict) = decision else { return decision };
        let Verdict { request, datagram: Some(datagram), .. } = verdict else { return decision };
        if !request.is_something() {
            return decision;
        }
        let Some(source) = datagram.source(frame) else { return decision };
        let reason = limit::limit(request, &source, datagram.length, self);
        let daemons = reason == Reason::Kod && self.kiss(frame, verdict).is_none();
        Decision::Judged(if daemons || request.only_counts() {
            verdict
        } else {
            Verdict { reason, ..verdict }
        })
    }

    /// The kiss that answers a frame; `None` if only the daemon can send it.
    pub fn kiss(&self, frame: &[u8], verdict: Verdict) -> Option<Vec<u8>> {
        let datagram = verdict.datagram?;
        let mut frame = frame.to_vec();
        let is_v6 = datagram.source(&*frame)?.is_v6();
        let (word, limits) = (verdict.request.word(), &self.limits);
        let offsets = [datagram.network, datagram.payload];
        kiss::turn(frame.as_mut_slice(), offsets, is_v6, word, limits, &Plain).then_some(frame)
    }

    /// Advances the clock, rounded down to a tick.
    pub fn pass(&self, time: Duration) {
        let ticks = time.as_nanos() * u128::from(self.limits.hz) / 1_000_000_000;
        self.now.set(self.now.get().wrapping_add(ticks as u32));
    }

    /// Sets the clock, in ticks.
    pub fn set(&self, now: u32) {
        self.now.set(now);
    }

    /// The table of sources.
    pub fn sets(&self) -> &[Set] {
        &self.sets
    }
}

/// Sums up a header's 16-bit words one by one.
struct Plain;

impl Sums for Plain {
    fn of<T>(&self, header: &T) -> u64 {
        let bytes = std::ptr::from_ref(header).cast::<[u8; 2]>();
        let word = |place| {
            // SAFETY: T is an even number of bytes, without padding.
            u64::from(u16::from_ne_bytes(unsafe { bytes.add(place).read() }))
        };
        (0..size_of::<T>() / 2).map(word).sum()
    }
}

impl LimiterState for Model {
    fn limits(&self, _slot: u32) -> Option<&Limits> {
        Some(&self.limits)
    }

    fn now(&self) -> u32 {
        self.now.get()
    }

    fn random(&self) -> u32 {
        // xorshift64*: the same numbers in every run.
        let mut word = self.random.get();
        word ^= word >> 12;
        word ^= word << 25;
        word ^= word >> 27;
        self.random.set(word);
        (word.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    fn set(&self, key: u64) -> Option<&Set> {
        self.sets.get(Set::number(key, self.sets.len() as u32) as usize)
    }

    fn heavy(&self, key: u64) -> Option<&Heavy> {
        self.heavy.get(Heavy::number(key) as usize)
    }

    fn ceiling(&self) -> Option<&Ceiling> {
        Some(&self.ceiling)
    }

    fn kisses(&self) -> Option<&Kisses> {
        Some(&self.kisses)
    }
}
