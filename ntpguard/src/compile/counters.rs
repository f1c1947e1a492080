//! Which counter in the maps belongs to which rule.

use ntpguard_common::{
    Reason,
    abi::{CAUSES, Rule, cause},
};
use std::sync::Arc;

/// The positions of a policy's counters. A rule has one counter for each cause from its first to its last possible one.
/// Clones share their memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    spans: Arc<Vec<Span>>,
    total: u32,
}

/// The counters of one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    /// The position of the first one.
    start: u32,
    /// The cause that the first one counts, as an index into [`CAUSES`].
    first: u8,
    /// The number of counters.
    count: u8,
}

impl Counters {
    /// The counters for rules with these flags, which are bits of [`Rule`].
    pub fn new(flags: impl IntoIterator<Item = u32>) -> Self {
        let mut total = 0;
        let span = |flags| {
            let (first, last) = span(flags);
            let span = Span { start: total, first: first as u8, count: (last - first) as u8 };
            total += last - first;
            span
        };
        let spans = Arc::new(flags.into_iter().map(span).collect());
        Self { spans, total }
    }

    /// The number of rules.
    pub fn rules(&self) -> usize {
        self.spans.len()
    }

    /// The number of counters.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// The index that a rule has in the maps, if the counters begin at position `from`.
    pub fn index(&self, rule: usize, from: u32) -> u32 {
        let Span { start, first, .. } = self.spans[rule];
        from.wrapping_add(start).wrapping_sub(first.into())
    }

    /// Whether all counters of a rule are among the first `room` ones.
    pub fn fit(&self, rule: usize, room: u32) -> bool {
        let Span { start, count, .. } = self.spans[rule];
        start + u32::from(count) <= room
    }

    /// The counter of a rule for a cause (an index into [`CAUSES`]), if there is one.
    pub fn place(&self, rule: usize, cause: usize) -> Option<u32> {
        let Span { start, first, count } = *self.spans.get(rule)?;
        let beyond = (cause as u32).checked_sub(first.into())?;
        (beyond < count.into()).then_some(start + beyond)
    }

    /// The rule and the cause that a counter belongs to; `None` if there are fewer counters.
    pub fn owner(&self, counter: u32) -> Option<(usize, usize)> {
        let after = self.spans.partition_point(|span| span.start <= counter);
        // A rule without counters has the same start as the next one.
        let rule = self.spans[..after].iter().rposition(|span| span.count > 0)?;
        let Span { start, first, count } = self.spans[rule];
        (counter - start < count.into()).then_some((rule, (u32::from(first) + counter - start) as usize))
    }

    /// The rules and causes of all counters, in the order of the counters.
    pub fn owners(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let spans = self.spans.iter().enumerate();
        spans.flat_map(|(rule, &Span { first, count, .. })| {
            (first..first + count).map(move |cause| (rule, cause.into()))
        })
    }
}

/// The range from the first cause that a rule with these flags may have to one past the last. In the maps a rule may
/// have fewer flags (order.rs), even without `ignore`, but never more.
fn span(flags: u32) -> (u32, u32) {
    let rule = Rule { flags, index: 0 };
    let may = |reason| match reason {
        Reason::Ignore => rule.has(Rule::IGNORE),
        Reason::Noquery => rule.has(Rule::NOQUERY),
        Reason::Noserve => rule.has(Rule::NOSERVE),
        Reason::Version => rule.has(Rule::VERSION),
        Reason::Notrust => rule.has(Rule::NOTRUST),
        Reason::Limited | Reason::Kod => rule.has(Rule::LIMITED),
        // These aren't in CAUSES: no flag of a rule gives them.
        Reason::Time
        | Reason::Query
        | Reason::Unread
        | Reason::NoPolicy
        | Reason::Mode6
        | Reason::Mode7
        | Reason::ImpossibleSource
        | Reason::SourcePort
        | Reason::Fragment
        | Reason::Malformed
        | Reason::Mode
        | Reason::Mac
        | Reason::Response
        | Reason::BadQuery
        | Reason::Untracked
        | Reason::Overload
        | Reason::Encapsulated
        | Reason::Tags
        | Reason::Extensions
        | Reason::Segments => false,
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
        let places = (0..6).flat_map(|rule| (0..CAUSES.len()).map(move |cause| (rule, cause)));
        let places = places.filter(|(rule, cause)| counters.place(*rule, *cause).is_some());
        assert_eq!(places.collect::<Vec<_>>(), owners);
        assert_eq!((place(0, Reason::Ignore), place(2, Reason::Version)), (0, 3));
        assert_eq!((place(3, Reason::Kod), place(4, Reason::Ignore)), (5, 6));
    }
}
