//! From the daemon's order of entries to prefixes and non-contiguous masks, for one family.
//!
//! Contract: [`Order::prefixes`] and [`Order::masks`] together give the verdict of the first matching entry. Where an
//! entry finds no room in the maps, or may not exist in the daemon, they drop less.

use super::rules::{ImageRules, Ranked};
use crate::{daemon::family::Family, policy::network};
use ipnet::IpNet;
use ntpguard_common::abi::{NonContiguousMask, Rule, Rules};
use std::ops::Range;

/// A prefix, and the rules for its sources.
pub(super) type Prefix = (IpNet, Rules);

/// The entries of a family.
pub(super) struct Order<'a> {
    rules: &'a ImageRules,
    /// The positions of all of them in the daemon's order.
    all: Range<usize>,
    /// Those with a non-contiguous mask, as many as fit.
    held: Vec<Ranked<'a>>,
    /// Those with a non-contiguous mask that don't fit.
    lost: Vec<Ranked<'a>>,
}

impl<'a> Order<'a> {
    pub(super) fn new(rules: &'a ImageRules, family: Family) -> Self {
        let all = rules.entries().of_family(family);
        let ranked = all.clone().filter_map(|place| rules.ranked(place));
        let mut held: Vec<_> = ranked.filter(|ranked| ranked.entry.net.prefix().is_none()).collect();
        let lost = held.split_off(held.len().min(NonContiguousMask::MAX as usize));
        Self { rules, all, held, lost }
    }

    /// The contents of the array of non-contiguous masks.
    pub(super) fn masks(&self) -> Vec<NonContiguousMask> {
        let masked = |ranked: &Ranked<'_>| {
            let Ranked { entry, rule, .. } = ranked;
            let words = |address| NonContiguousMask::words(&network::source(address));
            // A doubtful entry opens its addresses, and drops nothing.
            let flags = if entry.doubtful { 0 } else { self.softened(ranked) };
            NonContiguousMask {
                address: words(entry.net.address()),
                mask: words(entry.net.mask()),
                rule: Rule { flags, ..*rule },
            }
        };
        self.held.iter().map(masked).collect()
    }

    /// The prefixes by address, the shorter one first. Where a prefix has no entry of its own for a port, the rule of
    /// the enclosing prefix holds.
    pub(super) fn prefixes(&self) -> impl Iterator<Item = Prefix> {
        let with_prefix = |ranked: Ranked<'a>| Some((ranked.entry.net.prefix()?, ranked));
        // The daemon's order reversed, so that a prefix comes right after those that contain it.
        let ascending = self.all.clone().rev().filter_map(|place| self.rules.ranked(place));
        let mut ascending = ascending.filter_map(with_prefix).peekable();
        let mut around: Vec<Prefix> = Vec::new();
        let mut same = Vec::new();
        std::iter::from_fn(move || {
            let (prefix, first) = ascending.next()?;
            same.clear();
            same.push(first);
            while let Some((_, next)) = ascending.next_if(|(next, _)| *next == prefix) {
                same.push(next);
            }
            while around.last().is_some_and(|(outer, _)| !outer.contains(&prefix)) {
                around.pop();
            }
            let outer = around.last().map_or_else(Rules::default, |(_, rules)| *rules);
            let rules = self.rules(&same, outer);
            around.push((prefix, rules));
            Some((prefix, rules))
        })
    }

    /// The rules of a prefix, from its entries in reverse order; `outer` are the rules of the enclosing prefix.
    fn rules(&self, entries: &[Ranked<'a>], outer: Rules) -> Rules {
        let mut rules = outer;
        // The first entry in the daemon's order is applied last, and so wins.
        for ranked in entries {
            rules.ntp_port = self.rule(ranked, true, rules.ntp_port);
            if !ranked.entry.ntpport {
                rules.any_port = self.rule(ranked, false, rules.any_port);
            }
        }
        if entries.iter().any(|ranked| ranked.entry.own) {
            rules.any_port.flags |= Rule::OWN;
            rules.ntp_port.flags |= Rule::OWN;
        }
        rules
    }

    /// An entry's rule; `next` is the one that applies if the entry doesn't exist.
    fn rule(&self, ranked: &Ranked<'a>, for_ntp_port: bool, next: Rule) -> Rule {
        let Ranked { entry, rule, .. } = ranked;
        let flags = match entry.doubtful {
            false => self.softened(ranked),
            true if self.held.is_empty() => both(rule.flags, expanded(next.flags)),
            true => 0,
        };
        Rule { flags: flags | self.before(ranked, for_ntp_port), ..*rule }
    }

    /// An entry's flags without those that an earlier entry may lift which found no room.
    fn softened(&self, Ranked { place, entry, rule }: &Ranked<'a>) -> u32 {
        let lost =
            self.lost.iter().filter(|masked| masked.place < *place && masked.entry.net.overlaps(entry.net));
        lost.fold(rule.flags, |flags, masked| both(flags, masked.rule.flags))
    }

    /// The set of non-contiguous masks that precede an entry and overlap it, as [`Rule::masks`] returns it.
    fn before(&self, Ranked { place, entry, .. }: &Ranked<'a>, for_ntp_port: bool) -> u32 {
        let counts = |masked: &Ranked<'_>| {
            masked.place < *place
                && (for_ntp_port || !masked.entry.ntpport)
                && masked.entry.net.overlaps(entry.net)
        };
        let masks = self.held.iter().enumerate().filter(|(_, masked)| counts(masked));
        masks.fold(0, |set, (number, _)| set | 1 << number) << Rule::MASKS_SHIFT
    }
}

/// The flags that drop what either rule would drop, where either may be the one in force. It yields if one of them does.
const fn both(flags: u32, other: u32) -> u32 {
    flags & other | (flags | other) & Rule::YIELDS
}

/// The flags, with those that `ignore` implies.
pub(super) const fn expanded(flags: u32) -> u32 {
    if flags & Rule::IGNORE != 0 { flags | Rule::LIFTED } else { flags }
}
