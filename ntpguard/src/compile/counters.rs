//! Which counter is which rule's.

use ntpguard_common::{
    Reason,
    abi::{CAUSES, Rule, cause},
};

/// The places of a policy's counters. A rule has one for each cause from its first to its last possible one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Of each rule, the place of its first counter, which cause that is for, and how many it has.
    spans: Vec<(u32, u32, u32)>,
    total: u32,
}

impl Counters {
    /// For rules with these flags, bits of [`Rule`].
    pub fn new(flags: impl IntoIterator<Item = u32>) -> Self {
        let mut counters = Self::default();
        for flags in flags {
            let (first, last) = span(flags);
            let count = last - first;
            counters.spans.push((counters.total, first, count));
            counters.total += count;
        }
        counters
    }

    /// How many rules there are.
    pub fn rules(&self) -> usize {
        self.spans.len()
    }

    /// How many there are.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// What stands in the maps for a rule's index, with the counters from a place on.
    pub fn index(&self, rule: usize, from: u32) -> u32 {
        let (start, first, _) = self.spans[rule];
        from.wrapping_add(start).wrapping_sub(first)
    }

    /// Whether all counters of a rule are among the first so many.
    pub fn fit(&self, rule: usize, room: u32) -> bool {
        let (start, _, count) = self.spans[rule];
        start + count <= room
    }

    /// Which rule's and which cause's (its place among [`CAUSES`]) a counter is; `None` if there are fewer.
    pub fn owner(&self, counter: u32) -> Option<(usize, usize)> {
        let after = self.spans.partition_point(|&(start, _, _)| start <= counter);
        // Rules without counters begin where the next one does.
        let rule = self.spans[..after].iter().rposition(|&(_, _, count)| count > 0)?;
        let (start, first, count) = self.spans[rule];
        (counter - start < count).then_some((rule, (first + counter - start) as usize))
    }

    /// The same of all, in the order of the counters.
    pub fn owners(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let spans = self.spans.iter().enumerate();
        spans.flat_map(|(rule, &(_, first, count))| (first..first + count).map(move |at| (rule, at as usize)))
    }
}

/// From the first cause that a rule with these flags may have to the one after the last. In the maps it may have fewer
/// flags (order.rs), `ignore` among those that are gone, but never more.
fn span(flags: u32) -> (u32, u32) {
    let rule = Rule { flags, index: 0 };
    let may = |reason| match reason {
        Reason::Ignore => rule.has(Rule::IGNORE),
        Reason::Noquery => rule.has(Rule::NOQUERY),
        Reason::Noserve => rule.has(Rule::NOSERVE),
        Reason::Version => rule.has(Rule::VERSION),
        Reason::Notrust => rule.has(Rule::NOTRUST),
        Reason::Limited | Reason::Kod => rule.has(Rule::LIMITED),
        _ => false,
    };
    let mut causes = CAUSES.into_iter().filter(|reason| may(*reason)).filter_map(cause);
    let first = causes.next();
    let last = causes.next_back().or(first);
    first.zip(last).map_or((0, 0), |(first, last)| (first, last + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_have_counters_for_what_may_happen() {
        let counters =
            Counters::new([Rule::IGNORE, 0, Rule::NOQUERY | Rule::VERSION, Rule::LIMITED, Rule::IGNORE]);
        let owners: Vec<_> = counters.owners().collect();
        assert_eq!(owners, [(0, 0), (2, 1), (2, 2), (2, 3), (3, 5), (3, 6), (4, 0)]);
        assert_eq!(counters.total(), 7);
        assert_eq!((0..7).filter_map(|counter| counters.owner(counter)).collect::<Vec<_>>(), owners);
        assert_eq!((counters.owner(7), Counters::default().owner(0)), (None, None));
        let place = |rule, reason| counters.index(rule, 0).wrapping_add(cause(reason).unwrap());
        assert_eq!((place(0, Reason::Ignore), place(2, Reason::Version)), (0, 3));
        assert_eq!((place(3, Reason::Kod), place(4, Reason::Ignore)), (5, 6));
    }
}
