//! The filter's maps: those of an object just loaded, or those that are pinned.

use super::{
    hits::Hits,
    pins::MapFolder,
    readonly,
    table::{Table, Value},
};
use crate::{bpf::snapshot::Snapshot, compile::Counters};
use anyhow::{Context as _, Result, anyhow, bail};
use aya::{
    Ebpf,
    maps::{Array, Map, MapData, PerCpuArray},
};
use ntpguard_common::{
    Action, Reason,
    abi::{BANKS, CAUSES, Counter, Limits, PolicyWord, ROWS, row},
    hash::Seed,
    limit::{table::Set, top::Heavy},
};
use std::{
    borrow::Borrow,
    hash::{BuildHasher as _, RandomState},
    mem,
};

/// The maps that the program and its loaders share, by name.
pub(super) const NAMES: [&str; 17] = [
    "POLICY",
    "RULES",
    "RULES_FAR",
    "MASKS",
    "LIMITS",
    "SOURCES",
    "HEAVY",
    "CEILING",
    "KISSES",
    "SAMPLING",
    "EVENTS",
    "SEEN",
    "TEMPLATES",
    "ASSOCIATIONS",
    "LEARNING",
    "REASONS",
    "HITS",
];

const POLICY: &str = NAMES[0];
/// The key in POLICY of the bitmap of rows taken.
const TAKEN: u32 = 1;
/// The row of BPF_PROG_TEST_RUN: its frames come in by the loopback interface, whose index is 1 in every network
/// namespace.
const TEST_RUNS: u64 = 1 << row(1);

/// The filter's maps.
pub struct Maps {
    /// In the order of [`NAMES`]; `None` for a map that the object doesn't have.
    named: [Option<Map>; NAMES.len()],
    /// The counters of all rules.
    pub(super) hits: Option<Hits>,
    /// The counters of rules that these replace, until a policy is installed.
    before: Option<Hits>,
    /// Which counter belongs to which rule in the policy in force.
    counters: Counters,
    /// The key of the hash over sources.
    seed: Seed,
    /// Where the maps are pinned.
    place: Option<MapFolder>,
    /// The maps are open for reading only.
    looks: bool,
}

impl Maps {
    /// Takes the maps from an object whose program is loaded.
    pub(super) fn take(ebpf: &mut Ebpf, place: Option<MapFolder>) -> Result<Self> {
        Self::of(NAMES.map(|name| ebpf.take_map(name)), place)
    }

    /// Opens the pinned maps.
    ///
    /// # Errors
    /// A map is missing, or may not be opened.
    pub fn open(place: MapFolder) -> Result<Self> {
        let open = |name: &str| -> Result<Map> {
            let path = place.path(name);
            let data = MapData::from_pin(&path).with_context(|| format!("can't open {}", path.display()))?;
            Ok(Map::from_map_data(data)?)
        };
        let mut named = [const { None }; NAMES.len()];
        for (map, name) in named.iter_mut().zip(NAMES) {
            *map = Some(open(name)?);
        }
        Self::of(named, Some(place))
    }

    /// Opens those of the pinned maps that are shown, for reading: this requires only the right to read their files.
    ///
    /// # Errors
    /// A map is missing, or may not be read.
    pub fn look(place: MapFolder) -> Result<Self> {
        let mut named = [const { None }; NAMES.len()];
        // The other maps of [`super::pins::SHOWN`] are read as tables.
        for (map, name) in
            named.iter_mut().zip(NAMES).filter(|(_, name)| ["POLICY", "REASONS"].contains(name))
        {
            *map = Some(Map::from_map_data(readonly::open(&place.path(name))?)?);
        }
        let hits = Hits::new(readonly::open(&place.path("HITS"))?, true)?;
        let (counters, seed) = (Counters::default(), Seed::default());
        Ok(Self { named, hits: Some(hits), before: None, counters, seed, place: Some(place), looks: true })
    }

    fn of(mut named: [Option<Map>; NAMES.len()], place: Option<MapFolder>) -> Result<Self> {
        // HITS is the last map. It isn't kept like the others, since it is mapped a part at a time.
        let hits = match named[NAMES.len() - 1].take() {
            Some(Map::Array(data)) => Some(Hits::new(data, false)?),
            _ => None,
        };
        let secret = RandomState::new();
        let seed = [0, 1, 2].map(|word: u32| secret.hash_one(word));
        let counters = Counters::default();
        let mut maps = Self { named, hits, before: None, counters, seed, place, looks: false };
        if maps.place.is_some()
            && let word = maps.word()?
            && word.has(PolicyWord::INSTALLED)
        {
            let limits: Array<_, Limits> = maps.get("LIMITS")?.try_into()?;
            maps.seed = limits.get(&word.slot(), 0)?.seed;
        }
        Ok(maps)
    }

    /// Succeeds the maps of another folder. If its counters of rules are in another map, the next policy installed
    /// carries over their values. Until the new program is attached everywhere, drops are then counted only by reason,
    /// not by rule.
    pub(super) fn succeed(&mut self, other: Option<&MapFolder>) {
        let other = other.filter(|other| self.place.as_ref() != Some(*other));
        let data = other.and_then(|other| MapData::from_pin(other.path("HITS")).ok());
        let same = |data: &MapData| {
            let here = self.place.as_ref().and_then(|place| place.info("HITS"));
            here.zip(data.info().ok()).is_some_and(|(here, there)| here.id() == there.id())
        };
        self.before = data.filter(|data| !same(data)).and_then(|data| Hits::new(data, false).ok());
    }

    /// Tells which counter belongs to which rule in a policy that another process has put in force.
    pub fn know(&mut self, counters: Counters) {
        self.counters = counters;
    }

    /// The policy word in force.
    ///
    /// # Errors
    /// The kernel refuses to read a map.
    pub fn word(&self) -> Result<PolicyWord> {
        let word: Array<_, u64> = self.get("POLICY")?.try_into()?;
        Ok(PolicyWord::from_word(word.get(&0, 0)?))
    }

    /// Whether a policy is in force that counts in these maps.
    ///
    /// # Errors
    /// The kernel refuses to read a map.
    pub fn goes_on(&self) -> Result<bool> {
        Ok(self.word()?.has(PolicyWord::INSTALLED) && self.before.is_none())
    }

    /// Begins or ends a trial without changing the policy.
    ///
    /// # Errors
    /// The kernel refuses to write the map.
    pub fn set_trial(&mut self, trial: bool) -> Result<()> {
        let PolicyWord { flags, generation } = self.word()?;
        let flags = if trial { flags | PolicyWord::TRIAL } else { flags & !PolicyWord::TRIAL };
        let mut word: Array<_, u64> = self.get_mut(POLICY)?.try_into()?;
        word.set(0, PolicyWord { flags, generation }.to_word(), 0).context("POLICY can't be written")
    }

    /// Marks the row of an interface, by its index, as taken: the interface is guarded from now on.
    pub(super) fn register(&mut self, interface: u32) -> Result<()> {
        let Ok(word) = self.get_mut(POLICY) else { return Ok(()) };
        let mut word: Array<_, u64> = word.try_into()?;
        let taken = word.get(&TAKEN, 0)? | 1 << row(interface);
        word.set(TAKEN, taken, 0).context("POLICY can't be written")
    }

    /// A bitmap of the rows in which something may have been counted.
    fn taken(&self) -> Result<u64> {
        let word: Array<_, u64> = self.get(POLICY)?.try_into()?;
        Ok(word.get(&TAKEN, 0)? | TEST_RUNS)
    }

    /// Everything counted so far, summed over all CPUs; with the hits of rules if `hits` is set.
    ///
    /// # Errors
    /// The kernel refuses to read a map.
    pub fn counters(&self, hits: bool) -> Result<Snapshot> {
        let mut counted = snapshot(self.taken()?, &self.get("REASONS")?.try_into()?)?;
        if hits {
            let word = self.word()?;
            counted.done.hits = self.hits_of(0, word.slot())?;
            // There may be many of them, and mostly there never was a trial.
            if word.bank() == 1 || !counted.trial.rows.is_empty() {
                counted.trial.hits = self.hits_of(1, word.slot())?;
            }
        }
        Ok(counted)
    }

    /// The maximum number of counters of rules that a policy may have.
    pub fn room(&self) -> u32 {
        self.hits.as_ref().map_or(0, Hits::room)
    }

    /// Hits of the policy in a slot, from one bank, summed over all stripes: for each rule one counter for each of
    /// [`CAUSES`].
    fn hits_of(&self, bank: u32, slot: u32) -> Result<Vec<Counter>> {
        let Some(hits) = &self.hits else { return Ok(Vec::new()) };
        let mut sums = vec![Counter::default(); self.counters.rules() * CAUSES.len()];
        for (counted, (rule, cause)) in
            hits.counted(bank, slot, &self.counters)?.into_iter().zip(self.counters.owners())
        {
            sums[rule * CAUSES.len() + cause] = counted;
        }
        Ok(sums)
    }

    /// Converts values by rule and cause into values by counter of the policy in force.
    pub(super) fn by_counter(&self, of_rules: &[Option<String>]) -> Result<Vec<Option<String>>> {
        let mut of_counters = vec![None; (self.word()?.slot() * self.room()) as usize];
        let owners = self.counters.owners();
        of_counters
            .extend(owners.map(|(rule, cause)| of_rules.get(rule * CAUSES.len() + cause).cloned().flatten()));
        Ok(of_counters)
    }

    /// Carries over the hits of rules that were already in the previous policy, whose slot is `from`, and remembers
    /// which counter belongs to which rule from now on.
    pub(super) fn carry(
        &mut self,
        from: u32,
        slot: u32,
        counters: &Counters,
        carried: &[Option<usize>],
    ) -> Result<()> {
        let before = mem::replace(&mut self.counters, counters.clone());
        let earlier = self.before.take();
        let (Some(hits), Some(earlier)) = (&self.hits, earlier.as_ref().or(self.hits.as_ref())) else {
            return Ok(());
        };
        (0..BANKS).try_for_each(|bank| {
            let counted = earlier.counted(bank, from, &before)?;
            hits.carry(bank, slot, counters, |rule, cause| {
                counted.get(before.place((*carried.get(rule)?)?, cause)? as usize).copied()
            })
        })
    }

    /// The key of the hash over sources.
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// Where the maps are pinned, if they are.
    pub(super) fn place(&self) -> Option<&MapFolder> {
        self.place.as_ref()
    }

    /// The table of sources.
    ///
    /// # Errors
    /// The object has no such map, or the kernel refuses to map it.
    pub fn sources(&self) -> Result<Table<Set>> {
        self.table("SOURCES")
    }

    /// The table of candidates for the sources that are limited most.
    ///
    /// # Errors
    /// As [`Maps::sources`].
    pub fn heavy(&self) -> Result<Table<Heavy>> {
        self.table("HEAVY")
    }

    /// A table that shows its current values at any time; or, if the maps are open for reading only, a copy of its
    /// present values.
    pub(super) fn table<T: Value>(&self, name: &str) -> Result<Table<T>> {
        let Some(place) = self.place.as_ref().filter(|_| self.looks) else {
            return Table::of(self.get(name)?);
        };
        let data = readonly::open(&place.path(name))?;
        Table::copy(&data, 0..Table::<T>::len(&data)?)
    }

    /// The kernel's id of the map of counters of reasons. Maps with another id have counters that began at zero.
    ///
    /// # Errors
    /// The kernel doesn't report it.
    pub fn identity(&self) -> Result<u32> {
        let Map::PerCpuArray(reasons) = self.get("REASONS")? else {
            bail!("the map is no array of counters")
        };
        Ok(reasons.info()?.id())
    }

    /// Forgets all sources that the limiter knows.
    ///
    /// # Errors
    /// The kernel refuses to write the table.
    pub fn forget(&mut self) -> Result<()> {
        let mut sets: Array<_, [u64; size_of::<Set>() / 8]> = self.get_mut("SOURCES")?.try_into()?;
        (0..sets.len()).try_for_each(|set| Ok(sets.set(set, [0; size_of::<Set>() / 8], 0)?))
    }

    pub(super) fn get(&self, name: &str) -> Result<&Map> {
        let place = NAMES.iter().position(|known| *known == name);
        place.and_then(|place| self.named[place].as_ref()).ok_or_else(|| anyhow!("there is no map {name}"))
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Result<&mut Map> {
        let place = NAMES.iter().position(|known| *known == name);
        place.and_then(|place| self.named[place].as_mut()).ok_or_else(|| anyhow!("there is no map {name}"))
    }
}

/// The counters of reasons, summed over all CPUs, in the given rows (a bitmap) that have counted something; without
/// hits.
pub(super) fn snapshot<D: Borrow<MapData>>(
    taken: u64,
    reasons: &PerCpuArray<D, Counter>,
) -> Result<Snapshot> {
    let mut snapshot = Snapshot::default();
    for row in (0..ROWS).filter(|row| taken >> row & 1 != 0) {
        let bank = |bank| -> Result<Vec<Counter>> {
            let first = (bank * ROWS + row) * Reason::COUNT as u32;
            let of = |reason| Ok(reasons.get(&(first + reason), 0)?.iter().copied().sum());
            (0..Reason::COUNT as u32).map(of).collect()
        };
        let (mut done, mut trial) = (bank(0)?, bank(1)?);
        // What the policy lets pass really did pass, trial or not.
        let passed = Reason::ALL.iter().filter(|reason| reason.action() != Action::Drop);
        for place in passed.map(|reason| reason.index() as usize) {
            done[place] = [done[place], mem::take(&mut trial[place])].into_iter().sum();
        }
        for (counts, counters) in [(&mut snapshot.done, done), (&mut snapshot.trial, trial)] {
            if counters.iter().any(|counter| counter.packets > 0) {
                counts.rows.insert(row, counters);
            }
        }
    }
    Ok(snapshot)
}
