//! The policy in force, read back from the kernel: what the program decides by, without running it.
//!
//! Contract: it only reads, so nothing is counted. Requires CAP_SYS_ADMIN, to open maps by their ids.

use super::{pins::MapFolder, readonly};
use anyhow::{Context as _, Result};
use aya::maps::MapData;
use ntpguard_common::{
    Lookup, Source,
    abi::{Learning, NonContiguousMask, PolicyWord, Rule},
    associations::{Liveness, Template},
    ranges::{self, CHUNKS, Chunks, FAR, NEAR},
    wire::ntp,
};
use std::{cell::OnceCell, ptr::NonNull};

/// The policy in force, as a [`Lookup`] like that of the program.
pub struct Enforced {
    word: PolicyWord,
    near: Box<[u32; NEAR]>,
    far_chunks: MapData,
    /// The far chunks by their numbers. Read only when needed, since a policy may have hundreds of MiB of them.
    far: Vec<OnceCell<Option<Box<[u32; FAR]>>>>,
    masks: Vec<NonContiguousMask>,
    template: Template,
    /// Any address may be an association's.
    is_open: bool,
}

impl Enforced {
    /// Reads the policy from the pinned maps.
    ///
    /// # Errors
    /// No policy is in force, or this user may not read it.
    pub fn read(place: &MapFolder) -> Result<Self> {
        let word =
            PolicyWord::from_word(*values::<u64>(&open(place, "POLICY")?, 0, 1)?.first().context("no word")?);
        let near = inner(&open(place, "RULES")?, word.slot())?.context("no rules are in force")?;
        let far_chunks = open(place, "RULES_FAR")?;
        let far = (0..CHUNKS).map(|_| OnceCell::new()).collect();
        let masks = values::<[u32; 10]>(&open(place, "MASKS")?, 0, NonContiguousMask::ALL)?;
        let masks = masks.into_iter().map(NonContiguousMask::from_words).collect();
        let words = values::<[u32; 3]>(&open(place, "TEMPLATES")?, word.slot(), 1)?;
        let template = Template::from_words(*words.first().context("no template")?);
        let learning = values::<[u64; size_of::<Learning>() / 8]>(&open(place, "LEARNING")?, 0, 1)?;
        let is_open = learning.first().is_none_or(|[epoch, open_until, ..]| open_until > epoch);
        Ok(Self { word, near, far_chunks, far, masks, template, is_open })
    }

    /// Whether it has a line `restrict source`.
    pub fn has_source(&self) -> bool {
        self.template.is_there()
    }

    /// The rule of the first non-contiguous mask that comes before a rule and matches the source.
    fn masked(&self, rule: Rule, slot: u32, source: &Source) -> Option<Rule> {
        let words = NonContiguousMask::words(source);
        let before = (0..NonContiguousMask::MAX).filter(|number| rule.masks() >> number & 1 != 0);
        let mut masks = before.filter_map(|number| {
            self.masks.get(NonContiguousMask::place(slot, source.is_v6(), number) as usize)
        });
        masks.find(|masked| masked.holds(words)).map(|masked| masked.rule)
    }
}

impl Lookup for Enforced {
    fn word(&self) -> PolicyWord {
        self.word
    }

    fn rule(&self, slot: u32, source: &Source, port: u16) -> Rule {
        let is_ntp_port = port == ntp::PORT;
        let found = match *source {
            Source::V4(address) => ranges::of_v4(self, address, is_ntp_port),
            Source::V6(halves) => ranges::of_v6(self, halves, is_ntp_port),
        };
        let rule = found.unwrap_or(Rule::NONE);
        self.masked(rule, slot, source).unwrap_or(rule)
    }

    /// As for a source that is no association's, as far as that is known.
    fn association(&self, _slot: u32, _source: &Source, port: u16, _first: u8, found: Rule) -> Rule {
        self.template.rule(if self.is_open { Liveness::Unknown } else { Liveness::Dead }, found, port)
    }
}

impl Chunks for Enforced {
    fn near(&self) -> Option<&[u32; NEAR]> {
        Some(&self.near)
    }

    fn far(&self, number: u32) -> Option<&[u32; FAR]> {
        let read = || inner(&self.far_chunks, self.word.slot() * CHUNKS + number).ok().flatten();
        self.far.get(number as usize)?.get_or_init(read).as_deref()
    }
}

fn open(place: &MapFolder, name: &str) -> Result<MapData> {
    readonly::open(&place.path(name))
}

/// Reads a chunk of words, which is a map of its own; `None` if there is none at this index.
fn inner<const WORDS: usize>(outer: &MapData, index: u32) -> Result<Option<Box<[u32; WORDS]>>> {
    // To user space, the values of an array of maps are the maps' ids.
    let Ok(ids) = values::<u32>(outer, index, 1) else { return Ok(None) };
    let Some(id) = ids.first().filter(|id| **id != 0) else { return Ok(None) };
    let map = MapData::from_id(*id).context("can't open a chunk of rules")?;
    // On the heap: 2 MiB are too much for the stack.
    let mut words = vec![0_u32; WORDS];
    // SAFETY: there is room for one value of this many words, and any bits are valid words.
    unsafe { readonly::copy(&map, 0, 1, NonNull::from(words.as_mut_slice()).cast::<[u32; WORDS]>())? };
    Ok(Some(words.into_boxed_slice().try_into().map_err(|_| anyhow::anyhow!("a chunk has another length"))?))
}

/// Reads `count` values of an array map, from index `first` on.
fn values<T: Default + Clone>(map: &MapData, first: u32, count: u32) -> Result<Vec<T>> {
    let mut values = vec![T::default(); count as usize];
    // SAFETY: there is room for this many integers, and any bits are valid integers.
    unsafe { readonly::copy(map, first, count, NonNull::from(values.as_mut_slice()).cast::<T>())? };
    Ok(values)
}
