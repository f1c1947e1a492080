//! From the daemon's order of entries to prefixes and gaps, for one family.
//!
//! Contract: what [`Order::prefixes`] and [`Order::gaps`] say together is what the first matching entry says; where an
//! entry finds no place, or may not be there at all, they drop less.

use super::{Ranked, expanded};
use crate::net;
use ipnet::IpNet;
use ntpguard_common::abi::{Gap, Rule, Rules};

/// A place in the daemon's order, and what stands there.
type Placed<'a> = (usize, &'a Ranked<'a>);

/// The entries of a family.
pub(super) struct Order<'a> {
    all: Vec<Placed<'a>>,
    /// Those whose masks have gaps, as far as there is room.
    held: Vec<Placed<'a>>,
    /// The rest of these.
    lost: Vec<Placed<'a>>,
}

impl<'a> Order<'a> {
    pub(super) fn new(ranked: impl Iterator<Item = &'a Ranked<'a>>) -> Self {
        let all: Vec<Placed<'_>> = ranked.enumerate().collect();
        let mut held: Vec<_> =
            all.iter().filter(|(_, ranked)| ranked.entry.net.prefix().is_none()).copied().collect();
        let lost = held.split_off(held.len().min(Gap::MAX as usize));
        Self { all, held, lost }
    }

    /// What goes into the array of gaps.
    pub(super) fn gaps(&self) -> Vec<Gap> {
        let gap = |placed: &Placed<'_>| {
            let (_, Ranked { entry, rule }) = placed;
            let words = |address| Gap::words(&net::source(address));
            // One that may not be there opens what it holds, and drops nothing.
            let flags = if entry.doubtful { 0 } else { self.softened(placed) };
            Gap {
                address: words(entry.net.address()),
                mask: words(entry.net.mask()),
                rule: Rule { flags, ..*rule },
            }
        };
        self.held.iter().map(gap).collect()
    }

    /// The prefixes by address, the shorter one first: where one has no entry of its own for a port, the one around it
    /// counts.
    pub(super) fn prefixes(&self) -> Vec<(IpNet, Rules)> {
        let with_prefix = |placed: &Placed<'a>| Some((placed.1.entry.net.prefix()?, *placed));
        // The daemon's order the other way round, so that a prefix comes right after those that hold it.
        let ascending: Vec<(IpNet, Placed<'_>)> = self.all.iter().rev().filter_map(with_prefix).collect();
        let mut prefixes: Vec<(IpNet, Rules)> = Vec::with_capacity(ascending.len());
        let mut around: Vec<(IpNet, Rules)> = Vec::new();
        for same in ascending.chunk_by(|(a, _), (b, _)| a == b) {
            let prefix = same[0].0;
            while around.last().is_some_and(|(outer, _)| !outer.contains(&prefix)) {
                around.pop();
            }
            let outer = around.last().map_or_else(Rules::default, |(_, rules)| *rules);
            let rules = self.rules(same, outer);
            around.push((prefix, rules));
            prefixes.push((prefix, rules));
        }
        prefixes
    }

    /// The rules of a prefix by its entries, the last of them first; `outer` are those of the prefix around it.
    fn rules(&self, entries: &[(IpNet, Placed<'a>)], outer: Rules) -> Rules {
        let mut rules = outer;
        // The first in the daemon's order is the one that counts.
        for (_, placed) in entries {
            rules.ntp_port = self.rule(placed, true, rules.ntp_port);
            if !placed.1.entry.ntpport {
                rules.any_port = self.rule(placed, false, rules.any_port);
            }
        }
        if entries.iter().any(|(_, (_, ranked))| ranked.entry.own) {
            rules.any_port.flags |= Rule::OWN;
            rules.ntp_port.flags |= Rule::OWN;
        }
        rules
    }

    /// An entry's rule; `next` counts if the entry isn't there.
    fn rule(&self, placed: &Placed<'a>, for_ntp_port: bool, next: Rule) -> Rule {
        let (_, Ranked { entry, rule }) = placed;
        let flags = match entry.doubtful {
            false => self.softened(placed),
            true if self.held.is_empty() => rule.flags & expanded(next.flags),
            true => 0,
        };
        Rule { flags: flags | self.before(placed, for_ntp_port), ..*rule }
    }

    /// What an entry that found no place may open, a later one must not drop.
    fn softened(&self, (place, Ranked { entry, rule }): &Placed<'a>) -> u32 {
        let lost = self.lost.iter().filter(|(other, gap)| other < place && gap.entry.net.overlaps(entry.net));
        lost.fold(rule.flags, |flags, (_, gap)| flags & gap.rule.flags)
    }

    /// The gaps that stand before an entry and may hold the same source, as [`Rule::gaps`] has them.
    fn before(&self, (place, Ranked { entry, .. }): &Placed<'a>, for_ntp_port: bool) -> u32 {
        let counts = |(other, gap): &Placed<'_>| {
            other < place && (for_ntp_port || !gap.entry.ntpport) && gap.entry.net.overlaps(entry.net)
        };
        let gaps = self.held.iter().enumerate().filter(|(_, placed)| counts(placed));
        gaps.fold(0, |set, (number, _)| set | 1 << number) << Rule::GAPS_SHIFT
    }
}
