//! From prefixes to ranges: the rules of a family in the order of its addresses, without overlaps.

use ipnet::IpNet;
use ntpguard_common::{Verdict, abi::Rule};
use std::sync::Arc;

/// An address of one family, as a number.
pub trait Address: Copy + Ord + Into<u128> {
    /// The first and the last address of a prefix; `None` if it is of the other family.
    fn ends(net: IpNet) -> Option<(Self, Self)>;

    /// The next address; `None` after the last one.
    fn next(self) -> Option<Self>;

    /// The address rounded down to a multiple of 2^shift; `shift` is less than the number of bits of an address.
    fn floor(self, shift: u32) -> Self;

    /// Its 32-bit words, the highest first.
    fn words(self) -> impl Iterator<Item = u32>;

    /// The lowest address.
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

    fn floor(self, shift: u32) -> Self {
        self >> shift << shift
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

    fn floor(self, shift: u32) -> Self {
        self >> shift << shift
    }

    fn words(self) -> impl Iterator<Item = u32> {
        [96, 64, 32, 0].into_iter().map(move |shift| (self >> shift) as u32)
    }
}

/// Each range's first address, ascending from 0, and its rule. A range ends where the next one begins. Clones share
/// their memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranges<A>(Arc<Vec<(A, Rule)>>);

impl<A: Address> Ranges<A> {
    /// The ranges for prefixes ordered by address, the shorter one first, with the rule of each. Addresses in no prefix
    /// have full access.
    pub(super) fn new(prefixes: impl Iterator<Item = (IpNet, Rule)>) -> Self {
        let everything = Rule { flags: 0, index: Verdict::NO_RULE };
        let mut sweep = Sweep { ranges: vec![(A::ZERO, everything)], around: vec![(None, everything)] };
        for (net, rule) in prefixes {
            let Some((first, last)) = A::ends(net) else { continue };
            sweep.leave(Some(first));
            sweep.push(first, rule);
            sweep.around.push((last.next(), rule));
        }
        sweep.leave(None);
        sweep.ranges.shrink_to_fit();
        Self(Arc::new(sweep.ranges))
    }

    /// The rule for an address.
    pub fn rule(&self, address: A) -> Option<Rule> {
        let after = self.0.partition_point(|(first, _)| *first <= address);
        self.0.get(after.checked_sub(1)?).map(|(_, rule)| *rule)
    }

    /// All ranges.
    pub fn all(&self) -> &[(A, Rule)] {
        &self.0
    }
}

/// A sweep through a family's addresses.
struct Sweep<A> {
    /// The ranges so far.
    ranges: Vec<(A, Rule)>,
    /// The prefixes that enclose the next one, each with the first address after it, if there is one.
    around: Vec<(Option<A>, Rule)>,
}

impl<A: Address> Sweep<A> {
    /// Ends the prefixes that end before an address, and goes on with the enclosing one; without an address, ends all
    /// of them.
    fn leave(&mut self, before: Option<A>) {
        // A prefix without an address after it extends to the last address, and so do those that enclose it.
        while let [.., (_, outer), (Some(after), _)] = self.around[..]
            && before.is_none_or(|before| after <= before)
        {
            self.around.pop();
            self.push(after, outer);
        }
    }

    fn push(&mut self, first: A, rule: Rule) {
        if self.ranges.last().is_some_and(|(last, _)| *last == first) {
            self.ranges.pop();
        }
        if self.ranges.last().is_none_or(|(_, before)| *before != rule) {
            self.ranges.push((first, rule));
        }
    }
}
