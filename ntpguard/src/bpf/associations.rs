//! The table of associations, as the loader reads and writes it.

use super::{maps::Maps, table::Table};
use crate::{compile::Image, policy::network};
use anyhow::{Context as _, Result, bail};
use aya::maps::{Array, Map};
use ntpguard_common::{
    abi::Learning,
    associations::{Association, Departure, Origin, Set, Template, key},
    hash::Seed,
    wire::ntp,
};
use std::net::IpAddr;

/// The table, and how learning stands.
pub struct Associations {
    sets: Table<Set>,
    learning: Table<Learning>,
    seed: Seed,
}

impl Maps {
    /// The table, for reading and writing.
    ///
    /// # Errors
    /// The object has no such map, or the kernel refuses to map it.
    pub fn associations(&self) -> Result<Associations> {
        let Map::Array(sets) = self.get("ASSOCIATIONS")? else { bail!("ASSOCIATIONS is no array") };
        let Map::Array(learning) = self.get("LEARNING")? else { bail!("LEARNING is no array") };
        Ok(Associations {
            sets: Table::writable(sets, 0..Table::<Set>::len(sets)?)?,
            learning: Table::writable(learning, 0..1)?,
            seed: self.seed(),
        })
    }

    /// The table as it is now, for those who may only look.
    ///
    /// # Errors
    /// As [`Maps::associations`].
    pub fn look_at_associations(&self) -> Result<Associations> {
        let (sets, learning) = (self.table("ASSOCIATIONS")?, self.table("LEARNING")?);
        Ok(Associations { sets, learning, seed: Seed::default() })
    }

    /// What `restrict source` says in the policy in force; `None` if it has no such line.
    ///
    /// # Errors
    /// The kernel refuses to read a map.
    pub fn template(&self) -> Result<Option<Template>> {
        let templates: Array<_, [u32; 3]> = self.get("TEMPLATES")?.try_into()?;
        let template = Template::from_words(templates.get(&self.word()?.slot(), 0)?);
        Ok(template.is_there().then_some(template))
    }

    /// Lets the policy in force, which has no such line, note associations by that of the next one. Its rules don't yield.
    ///
    /// # Errors
    /// The kernel refuses to write the map.
    pub fn announce(&mut self, template: Template) -> Result<()> {
        let slot = self.word()?.slot();
        let mut templates: Array<_, [u32; 3]> = self.get_mut("TEMPLATES")?.try_into()?;
        templates.set(slot, template.to_words(), 0).context("TEMPLATES can't be written")
    }

    /// Forgets all associations.
    ///
    /// # Errors
    /// The kernel refuses to write the table.
    pub fn forget_associations(&mut self) -> Result<()> {
        const WORDS: usize = size_of::<Set>() / 8;
        let mut sets: Array<_, [u64; WORDS]> = self.get_mut("ASSOCIATIONS")?.try_into()?;
        (0..sets.len()).try_for_each(|set| Ok(sets.set(set, [0; WORDS], 0)?))
    }
}

impl Associations {
    /// How learning stands.
    pub fn learning(&self) -> Option<&Learning> {
        self.learning.values().first()
    }

    /// The daemon's live associations.
    pub fn live(&self) -> impl Iterator<Item = Association> {
        let now = self.learning().map_or(0, |learning| learning.epoch.get());
        let all = self.sets.values().iter().flat_map(move |set| set.entries(now));
        all.filter(|association| association.origin != Origin::Other)
    }

    /// Notes an association that the loader knows of, unless it is in the table already: what its packets have told is
    /// kept. `poll` is its poll exponent; 0 if it isn't known.
    pub fn note(&self, origin: Origin, peer: IpAddr, port: u16, poll: u8) {
        let Some(learning) = self.learning() else { return };
        let departure = Departure::known(network::source(peer), port, poll);
        let (now, key) = (learning.epoch.get(), key(self.seed, &departure.peer));
        let until = now + departure.life(true);
        let set = self.sets.values().get(Set::number(key) as usize);
        if set.is_some_and(|set| set.is_live(key, now)) {
            return;
        }
        if !set.is_some_and(|set| set.note(key, origin, &departure, now, until)) {
            learning.full.add(1);
            learning.open_until.set(learning.open_until.get().max(until));
        }
    }
}

/// Writes what an image says of associations into a slot.
pub(super) fn install(maps: &mut Maps, image: &Image, slot: u32) -> Result<()> {
    let mut templates: Array<_, [u32; 3]> = maps.get_mut("TEMPLATES")?.try_into()?;
    let words = image.template.unwrap_or_default().to_words();
    templates.set(slot, words, 0).context("TEMPLATES can't be written")?;
    if !image.associations.is_empty() {
        let associations = maps.associations()?;
        for source in &image.associations {
            associations.note(Origin::Configuration, network::address(source), ntp::PORT, 0);
        }
    }
    Ok(())
}
