//! The counters of all rules, in stripes: one for trials, one for each CPU, and one that no CPU writes. Each stripe has
//! a part for each slot.
//!
//! Contract: the map is mapped a part at a time, and only while the part is read or written. With very many rules the
//! whole map is as large as the rest of the process, and mapped memory counts as the process's.

use super::table::Table;
use crate::compile::Counters;
use anyhow::{Result, anyhow};
use aya::{maps::MapData, util::nr_cpus};
use ntpguard_common::{
    abi::{Counter, SLOTS},
    shared::Count,
};
use std::ops::RangeInclusive;

/// The number of possible CPUs.
///
/// # Errors
/// The kernel doesn't report it.
pub(super) fn cpus() -> Result<u32> {
    let cpus = nr_cpus().map_err(|(file, error)| anyhow!("{file}: {error}"))?;
    Ok(u32::try_from(cpus)?)
}

/// The number of stripes for a number of CPUs.
pub(super) const fn stripes(cpus: u32) -> u32 {
    cpus + 2
}

/// The map of all counters of rules.
pub(super) struct Hits {
    data: MapData,
    /// The number of counters in the map.
    count: u32,
    /// The number of possible CPUs.
    cpus: u32,
    /// The map is open for reading only.
    looks: bool,
}

impl Hits {
    pub(super) fn new(data: MapData, looks: bool) -> Result<Self> {
        let count = Table::<Count>::len(&data)? as u32;
        Ok(Self { data, count, cpus: cpus()?, looks })
    }

    /// The maximum number of counters that a policy may have.
    pub(super) fn room(&self) -> u32 {
        self.stride() / SLOTS
    }

    /// The number of counters in a stripe.
    fn stride(&self) -> u32 {
        self.count / stripes(self.cpus)
    }

    /// The stripes of a bank ([`ntpguard_common::abi::stripe`]).
    fn stripes_of(&self, bank: u32) -> RangeInclusive<u32> {
        if bank == 0 { 1..=self.cpus + 1 } else { 0..=0 }
    }

    /// The first `count` counters of a slot in a stripe.
    fn part(&self, stripe: u32, slot: u32, count: u32) -> Result<Table<Count>> {
        let first = (stripe * self.stride() + slot * self.room()) as usize;
        let part = first..first + count as usize;
        if self.looks { Table::copy(&self.data, part) } else { Table::writable(&self.data, part) }
    }

    /// The values of a slot's counters in a bank, summed over its stripes.
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

    /// Sets the counters of a slot that isn't in force to zero.
    pub(super) fn wipe(&self, slot: u32) -> Result<()> {
        for stripe in 0..stripes(self.cpus) {
            let part = self.part(stripe, slot, self.room())?;
            part.values().iter().for_each(|count| count.set(Counter::default()));
        }
        Ok(())
    }

    /// Carries over the hits of rules that were already in the previous policy: adds them in the bank's last stripe,
    /// where, in a trial, packets are counted at the same time. `earlier` returns the previous value for a rule and
    /// cause, if the rule existed.
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
