//! From prefixes to ranges: the rules of a family in the order of its addresses, none of which holds another.

use ipnet::IpNet;
use ntpguard_common::{
    Verdict,
    abi::{Rule, Rules},
};

/// Addresses of a family as numbers.
pub trait Address: Copy + Ord + Into<u128> {
    /// The first and the last address of a prefix, unless it is of the other family.
    fn ends(net: IpNet) -> Option<(Self, Self)>;

    /// The one after this.
    fn next(self) -> Option<Self>;

    /// As words, the highest first.
    fn words(self) -> impl Iterator<Item = u32>;

    /// The lowest.
    const ZERO: Self;
}

impl Address for u32 {
    const ZERO: Self = 0;

    fn ends(net: IpNet) -> Option<(Self, Self)> {
        let IpNet::V4(net) = net else { return None };
        Some((net.network().to_bits(), net.broadcast().to_bits()))
    }

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn words(self) -> impl Iterator<Item = u32> {
        std::iter::once(self)
    }
}

impl Address for u128 {
    const ZERO: Self = 0;

    fn ends(net: IpNet) -> Option<(Self, Self)> {
        let IpNet::V6(net) = net else { return None };
        Some((net.network().to_bits(), net.broadcast().to_bits()))
    }

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn words(self) -> impl Iterator<Item = u32> {
        [96, 64, 32, 0].into_iter().map(move |shift| (self >> shift) as u32)
    }
}

/// Each range's first address, ascending from 0, and its rule. It ends where the next one begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranges<A>(Vec<(A, Rule)>);

impl<A: Address> Ranges<A> {
    /// Of prefixes in the order of their addresses, the shorter one first; `rule` chooses between the two of each. What is
    /// in none of them may do everything.
    pub(super) fn new(prefixes: &[(IpNet, Rules)], rule: impl Fn(&Rules) -> Rule) -> Self {
        let everything = Rule { flags: 0, index: Verdict::NO_RULE };
        let mut ranges = Self(vec![(A::ZERO, everything)]);
        // The prefixes around the next one, with the first address after each, if there is one.
        let mut around: Vec<(Option<A>, Rule)> = vec![(None, everything)];
        for (net, rules) in prefixes {
            let Some((first, last)) = A::ends(*net) else { continue };
            ranges.leave(&mut around, Some(first));
            ranges.push(first, rule(rules));
            around.push((last.next(), rule(rules)));
        }
        ranges.leave(&mut around, None);
        ranges.0.shrink_to_fit();
        ranges
    }

    /// Goes on with what is around the prefixes that end before an address; without one, around all of them.
    fn leave(&mut self, around: &mut Vec<(Option<A>, Rule)>, before: Option<A>) {
        // One without an address after it reaches to the last one, and so do those around it.
        while let [.., (_, outer), (Some(after), _)] = around[..]
            && before.is_none_or(|before| after <= before)
        {
            around.pop();
            self.push(after, outer);
        }
    }

    fn push(&mut self, first: A, rule: Rule) {
        if self.0.last().is_some_and(|(last, _)| *last == first) {
            self.0.pop();
        }
        if self.0.last().is_none_or(|(_, before)| *before != rule) {
            self.0.push((first, rule));
        }
    }

    /// The rule of an address.
    pub fn rule(&self, address: A) -> Option<Rule> {
        let after = self.0.partition_point(|(first, _)| *first <= address);
        self.0.get(after.checked_sub(1)?).map(|(_, rule)| *rule)
    }

    /// All of them.
    pub fn all(&self) -> &[(A, Rule)] {
        &self.0
    }
}
