//! The filter's maps: those of an object that was just loaded, or those that are pinned.

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

/// What the program and its loaders share, in [`ntpguard_common::abi`]'s order.
pub(super) const NAMES: [&str; 14] = [
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
    "REASONS",
    "HITS",
];

const POLICY: &str = NAMES[0];
/// In POLICY, which rows are taken.
const TAKEN: u32 = 1;
/// Frames of BPF_PROG_TEST_RUN come in by the loopback, whose index is 1 in every namespace.
const TEST_RUNS: u64 = 1 << row(1);

/// The maps.
pub struct Maps {
    /// In the order of [`NAMES`]; one that the object doesn't have is none.
    named: [Option<Map>; NAMES.len()],
    /// The counters of all rules.
    pub(super) hits: Option<Hits>,
    /// Those in whose place they stand, until a policy is installed.
    before: Option<Hits>,
    /// Which of them are whose, in the policy in force.
    counters: Counters,
    /// The secret of the table of sources.
    seed: Seed,
    /// Where they are pinned.
    place: Option<MapFolder>,
    /// They may be read, and no more.
    looks: bool,
}

impl Maps {
    /// Takes them from an object whose program is loaded.
    pub(super) fn take(ebpf: &mut Ebpf, place: Option<MapFolder>) -> Result<Self> {
        Self::of(NAMES.map(|name| ebpf.take_map(name)), place)
    }

    /// Opens those that are pinned.
    ///
    /// # Errors
    /// One is missing, or may not be opened.
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

    /// Opens those of them that are shown, to read them: it takes no more than the right to read their files.
    ///
    /// # Errors
    /// One is missing, or may not be read.
    pub fn look(place: MapFolder) -> Result<Self> {
        let mut named = [const { None }; NAMES.len()];
        // The others of [`super::pins::SHOWN`] become tables.
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
        // The last of them, mapped a part at a time instead.
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

    /// Takes over from the maps of another place: where the counters of rules are others, the next policy goes on with the
    /// old ones. What is dropped until the new program is everywhere isn't counted for a rule then, but for its reason.
    pub(super) fn succeed(&mut self, other: Option<&MapFolder>) {
        let other = other.filter(|other| self.place.as_ref() != Some(*other));
        let data = other.and_then(|other| MapData::from_pin(other.path("HITS")).ok());
        let same = |data: &MapData| {
            let here = self.place.as_ref().and_then(|place| place.info("HITS"));
            here.zip(data.info().ok()).is_some_and(|(here, there)| here.id() == there.id())
        };
        self.before = data.filter(|data| !same(data)).and_then(|data| Hits::new(data, false).ok());
    }

    /// Says which counters are whose, of a policy that another process has put in force.
    pub fn know(&mut self, counters: Counters) {
        self.counters = counters;
    }

    /// What is in force.
    ///
    /// # Errors
    /// The kernel refuses to read a map.
    pub fn word(&self) -> Result<PolicyWord> {
        let word: Array<_, u64> = self.get("POLICY")?.try_into()?;
        Ok(PolicyWord::from_word(word.get(&0, 0)?))
    }

    /// Whether there is a policy in force, with the counters of these maps.
    ///
    /// # Errors
    /// The kernel refuses to read a map.
    pub fn goes_on(&self) -> Result<bool> {
        Ok(self.word()?.has(PolicyWord::INSTALLED) && self.before.is_none())
    }

    /// Begins or ends a trial; the policy stays what it is.
    ///
    /// # Errors
    /// The kernel refuses to write the map.
    pub fn set_trial(&mut self, trial: bool) -> Result<()> {
        let PolicyWord { flags, generation } = self.word()?;
        let flags = if trial { flags | PolicyWord::TRIAL } else { flags & !PolicyWord::TRIAL };
        let mut word: Array<_, u64> = self.get_mut(POLICY)?.try_into()?;
        word.set(0, PolicyWord { flags, generation }.to_word(), 0).context("POLICY can't be written")
    }

    /// Says that an interface is guarded from now on, by its index.
    pub(super) fn register(&mut self, interface: u32) -> Result<()> {
        let Ok(word) = self.get_mut(POLICY) else { return Ok(()) };
        let mut word: Array<_, u64> = word.try_into()?;
        let taken = word.get(&TAKEN, 0)? | 1 << row(interface);
        word.set(TAKEN, taken, 0).context("POLICY can't be written")
    }

    /// Where something may have been counted.
    fn taken(&self) -> Result<u64> {
        let word: Array<_, u64> = self.get(POLICY)?.try_into()?;
        Ok(word.get(&TAKEN, 0)? | TEST_RUNS)
    }

    /// What was counted so far, summed over all CPUs, with or without the hits of the rules.
    ///
    /// # Errors
    /// The kernel refuses to read a map.
    pub fn counters(&self, hits: bool) -> Result<Snapshot> {
        let mut counted = snapshot(self.taken()?, &self.get("REASONS")?.try_into()?)?;
        if hits {
            let word = self.word()?;
            counted.done.hits = self.hits_of(0, word.slot())?;
            // They may be many, and mostly there never was a trial.
            if word.bank() == 1 || !counted.trial.rows.is_empty() {
                counted.trial.hits = self.hits_of(1, word.slot())?;
            }
        }
        Ok(counted)
    }

    /// As many counters of rules a policy may have.
    pub fn room(&self) -> u32 {
        self.hits.as_ref().map_or(0, Hits::room)
    }

    /// Hits of the policy in a slot, counted in a bank: for each rule those of [`CAUSES`], summed over all stripes.
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

    /// Arranges what there is for each rule and cause by the counters of the policy in force.
    pub(super) fn by_counter(&self, of_rules: &[Option<String>]) -> Result<Vec<Option<String>>> {
        let mut of_counters = vec![None; (self.word()?.slot() * self.room()) as usize];
        let owners = self.counters.owners();
        of_counters
            .extend(owners.map(|(rule, cause)| of_rules.get(rule * CAUSES.len() + cause).cloned().flatten()));
        Ok(of_counters)
    }

    /// Goes on with the hits of rules that were in the policy before, which is in the slot `from`; and knows whose the
    /// counters are from now on.
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

    /// The secret of the table of sources.
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// Where they are pinned, if they are.
    pub(super) fn place(&self) -> Option<&MapFolder> {
        self.place.as_ref()
    }

    /// The table of sources.
    ///
    /// # Errors
    /// The object has none, or the kernel refuses to map it.
    pub fn sources(&self) -> Result<Table<Set>> {
        self.table("SOURCES")
    }

    /// The table of those that may be limited most.
    ///
    /// # Errors
    /// As [`Maps::sources`].
    pub fn heavy(&self) -> Result<Table<Heavy>> {
        self.table("HEAVY")
    }

    /// A table as it is from now on; or as it was now, for those who may only read it.
    pub(super) fn table<T: Value>(&self, name: &str) -> Result<Table<T>> {
        let Some(place) = self.place.as_ref().filter(|_| self.looks) else {
            return Table::of(self.get(name)?);
        };
        let data = readonly::open(&place.path(name))?;
        Table::copy(&data, 0..Table::<T>::len(&data)?)
    }

    /// Which maps these are: others count from zero.
    ///
    /// # Errors
    /// The kernel doesn't tell.
    pub fn identity(&self) -> Result<u32> {
        let Map::PerCpuArray(reasons) = self.get("REASONS")? else {
            bail!("the map is no array of counters")
        };
        Ok(reasons.info()?.id())
    }

    /// Forgets all sources.
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

/// The counters of reasons, summed over all CPUs, of the rows (a bit each) that have counted something; without hits.
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
        // What passes by the policy has passed, trial or not.
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
