//! The counters of all rules: a stripe of trials, one for each CPU, and one that none writes, each with a part for either slot.
//!
//! Contract: they are mapped a part at a time, and no longer than somebody looks. Of very many rules all of them are as
//! large as the rest of the process, and what is mapped counts as its memory.

use super::table::Table;
use crate::compile::Counters;
use anyhow::{Result, anyhow};
use aya::{maps::MapData, util::nr_cpus};
use ntpguard_common::{
    abi::{Counter, SLOTS},
    shared::Count,
};
use std::ops::RangeInclusive;

/// How many CPUs there may be.
///
/// # Errors
/// The kernel doesn't tell.
pub(super) fn cpus() -> Result<u32> {
    let cpus = nr_cpus().map_err(|(file, error)| anyhow!("{file}: {error}"))?;
    Ok(u32::try_from(cpus)?)
}

/// How many stripes there are with so many CPUs.
pub(super) const fn stripes(cpus: u32) -> u32 {
    cpus + 2
}

/// The map with all of them.
pub(super) struct Hits {
    data: MapData,
    /// As many counters it has.
    count: u32,
    /// How many CPUs there may be.
    cpus: u32,
    /// They may be read, and no more.
    looks: bool,
}

impl Hits {
    pub(super) fn new(data: MapData, looks: bool) -> Result<Self> {
        let count = Table::<Count>::len(&data)? as u32;
        Ok(Self { data, count, cpus: cpus()?, looks })
    }

    /// As many a policy may have.
    pub(super) fn room(&self) -> u32 {
        self.stride() / SLOTS
    }

    /// As many a stripe has.
    fn stride(&self) -> u32 {
        self.count / stripes(self.cpus)
    }

    /// Those of a bank ([`ntpguard_common::abi::stripe`]).
    fn stripes_of(&self, bank: u32) -> RangeInclusive<u32> {
        if bank == 0 { 1..=self.cpus + 1 } else { 0..=0 }
    }

    /// The first so many of a slot, in a stripe.
    fn part(&self, stripe: u32, slot: u32, count: u32) -> Result<Table<Count>> {
        let first = (stripe * self.stride() + slot * self.room()) as usize;
        let part = first..first + count as usize;
        if self.looks { Table::copy(&self.data, part) } else { Table::writable(&self.data, part) }
    }

    /// What a slot's counters show in a bank, summed over its stripes.
    pub(super) fn counted(&self, bank: u32, slot: u32, counters: &Counters) -> Result<Vec<Counter>> {
        let count = counters.total().min(self.room());
        let mut sums = vec![Counter::default(); count as usize];
        for stripe in self.stripes_of(bank).filter(|_| count > 0) {
            for (sum, count) in sums.iter_mut().zip(self.part(stripe, slot, count)?.values()) {
                *sum = [*sum, count.get()].into_iter().sum();
            }
        }
        Ok(sums)
    }

    /// Sets those of a slot that isn't in force to zero.
    pub(super) fn wipe(&self, slot: u32) -> Result<()> {
        for stripe in 0..stripes(self.cpus) {
            let part = self.part(stripe, slot, self.room())?;
            part.values().iter().for_each(|count| count.set(Counter::default()));
        }
        Ok(())
    }

    /// Goes on with the hits of rules that were in the policy before, in the last stripe of a bank, in which those of trials
    /// are counted meanwhile: `earlier` says what a counter showed there, if it was there.
    pub(super) fn carry(
        &self,
        bank: u32,
        slot: u32,
        counters: &Counters,
        earlier: impl Fn(usize, usize) -> Option<Counter>,
    ) -> Result<()> {
        let part = self.part(*self.stripes_of(bank).end(), slot, self.room())?;
        for (count, (rule, cause)) in part.values().iter().zip(counters.owners()) {
            if let Some(sum) = earlier(rule, cause).filter(|sum| sum.packets > 0) {
                count.add(sum);
            }
        }
        Ok(())
    }
}
