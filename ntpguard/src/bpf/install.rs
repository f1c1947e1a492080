//! From an image to the maps.
//!
//! Everything is written to the slot that isn't in force; then one write of eight bytes puts the new policy in force.
//! Replacing an inner map waits for a grace period (kernel/bpf/map_in_map.c, maybe_wait_bpf_programs), so that no
//! program still reads what was replaced or counts by it.

use super::{associations, call, maps::Maps};
use crate::{
    compile::{Flat, Image},
    host::log::warn,
    policy::limiter::{self, Clock},
};
use anyhow::{Context as _, Result, anyhow, bail};
use aya::maps::{Array, ArrayOfMaps, Map, MapData};
use ntpguard_common::{
    Verdict,
    abi::{Limits, NonContiguousMask, PolicyWord, Rule},
    ranges::{CHUNKS, FAR, NEAR},
};

const NEAR_CHUNKS: &str = "RULES";
const FAR_CHUNKS: &str = "RULES_FAR";

/// A chunk of words in a map.
type Chunk<const WORDS: usize> = Array<MapData, [u32; WORDS]>;

impl Maps {
    /// Puts an image in force, both families and the whole policy word at once. For each of its rules, `carried` has
    /// the position of the same rule in the previous policy, whose hits are carried over. Returns the number of the
    /// policy. Rules that exceed [`Maps::room`] are counted only by reason.
    ///
    /// # Errors
    /// The kernel refuses to write a map; what was in force stays so.
    pub fn install(&mut self, image: &Image, carried: &[Option<usize>]) -> Result<u32> {
        let (needed, room) = (image.counters.total(), self.room());
        if needed > room {
            warn(format_args!(
                "more rules than there are counters for ({needed} of {room}): the last ones count for their reasons alone, \
                 until ntpguard is started again"
            ));
        }
        let before = self.word()?;
        let word = PolicyWord { flags: image.flags, generation: before.generation.wrapping_add(1) };
        self.hits.iter().try_for_each(|hits| hits.wipe(word.slot()))?;
        install(self, image, word, room)?;
        // From here on the new policy is in force. Once the previous slot is emptied, no program counts there any more.
        let emptied = empty(self, before.slot());
        if let Err(error) = self.carry(before.slot(), word.slot(), &image.counters, carried) {
            warn(format_args!("all rules are counted anew, also those that were there before: {error:#}"));
        }
        if let Err(error) = emptied {
            warn(format_args!(
                "the rules of the policy before can't be taken out, and go on taking room: {error:#}"
            ));
        }
        Ok(word.generation)
    }
}

/// Puts an image in force; there is room for `room` counters.
pub(super) fn install(maps: &mut Maps, image: &Image, word: PolicyWord, room: u32) -> Result<()> {
    let slot = word.slot();
    let counters = slot * room;
    // A rule's index is its position in the image, and in the maps where its counters begin.
    let rule = |rule: Rule| match rule.index {
        Verdict::NO_RULE => rule,
        place if image.counters.fit(place as usize, room) => {
            Rule { index: image.counters.index(place as usize, counters), ..rule }
        }
        _ => Rule { index: Verdict::NO_RULE, ..rule },
    };
    let flat = Flat::new(&image.v4, &image.v6, rule)?;
    let near = chunk::<NEAR>(flat.near_chunk())?;
    place(maps, NEAR_CHUNKS, slot, &near)?;
    for (number, words) in (1..).zip(flat.far_chunks()) {
        place(maps, FAR_CHUNKS, slot * CHUNKS + number, &chunk::<FAR>(words)?)?;
    }
    let mut masks: Array<_, [u32; 10]> = maps.get_mut("MASKS")?.try_into()?;
    for (is_v6, of_family) in [false, true].into_iter().zip(&image.masks) {
        for (number, masked) in (0..).zip(of_family) {
            let words = NonContiguousMask { rule: rule(masked.rule), ..*masked }.to_words();
            masks
                .set(NonContiguousMask::place(slot, is_v6, number), words, 0)
                .context("MASKS can't be written")?;
        }
    }
    associations::install(maps, image, slot)?;
    let limits = limiter::limits(&image.limiter, &image.bounds, Clock::of_kernel()?, maps.seed());
    let mut values: Array<_, Limits> = maps.get_mut("LIMITS")?.try_into()?;
    values.set(slot, limits, 0).context("LIMITS can't be written")?;
    let mut in_force: Array<_, u64> = maps.get_mut("POLICY")?.try_into()?;
    in_force.set(0, word.to_word(), 0).context("the new policy can't be put in force")?;
    // Programs may still be using the previous policy word. Writing the same chunk to its place again waits for a grace
    // period; after that no program counts for the previous policy.
    place(maps, NEAR_CHUNKS, slot, &near)
}

/// Removes the rules from a slot that is no longer in force, except for the near chunk, which is small.
pub(super) fn empty(maps: &mut Maps, slot: u32) -> Result<()> {
    let slots: ArrayOfMaps<_, Chunk<FAR>> = maps.get(FAR_CHUNKS)?.try_into()?;
    // The far chunks' places are taken in order, without gaps.
    let taken = (slot * CHUNKS + 1..(slot + 1) * CHUNKS).take_while(|index| slots.get(index, 0).is_ok());
    let taken: Vec<_> = taken.collect();
    let Map::ArrayOfMaps(data) = maps.get(FAR_CHUNKS)? else { bail!("{FAR_CHUNKS} is no array of maps") };
    taken.into_iter().try_for_each(|index| call::take_out(data, index))
}

/// Creates a map that holds this chunk.
fn chunk<const WORDS: usize>(words: &[u32]) -> Result<Chunk<WORDS>> {
    let mut map: Chunk<WORDS> = Array::create(1, 0).context("no room for the rules")?;
    let words = words.first_chunk::<WORDS>().ok_or_else(|| anyhow!("a chunk of rules is too short"))?;
    map.set(0, words, 0).context("a chunk of rules can't be written")?;
    Ok(map)
}

/// Puts a chunk into its place, and waits until no program reads the previous one.
fn place<const WORDS: usize>(maps: &mut Maps, name: &str, index: u32, chunk: &Chunk<WORDS>) -> Result<()> {
    let mut slots: ArrayOfMaps<_, Chunk<WORDS>> = maps.get_mut(name)?.try_into()?;
    slots.set(index, chunk, 0).with_context(|| format!("{name} can't be replaced"))
}
