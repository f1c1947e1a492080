//! The verdict on a frame, and what follows from it.

use crate::{
    abi::{PolicyWord, Rule, cause},
    limit::LimitRequest,
    reason::{Action, Reason},
    wire::Datagram,
};

/// What becomes of a packet to UDP port 123, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The reason for the verdict.
    pub reason: Reason,
    /// The index of the source's rule ([`Rule::index`]); [`Verdict::NO_RULE`] if no rule was looked up.
    pub rule: u32,
    /// What the limiters need to know; [`LimitRequest::NOTHING`] if no limit applies.
    pub request: LimitRequest,
    /// The datagram that was judged; `None` if the frame hides it, in a fragment or behind too many headers.
    pub datagram: Option<Datagram>,
}

impl Verdict {
    /// Stands in for a rule's index.
    pub const NO_RULE: u32 = Rule::NO_INDEX;

    /// A verdict that was reached without a rule.
    #[inline(always)]
    pub const fn of(reason: Reason) -> Self {
        Self { reason, rule: Self::NO_RULE, request: LimitRequest::NOTHING, datagram: None }
    }

    /// A verdict on a datagram by the rule with this index, to which no limit applies.
    #[inline(always)]
    pub const fn on(datagram: Datagram, reason: Reason, rule: u32) -> Self {
        Self { rule, datagram: Some(datagram), ..Self::of(reason) }
    }

    /// What becomes of the packet.
    #[inline(always)]
    pub const fn action(self) -> Action {
        self.reason.action()
    }
}

/// The index of the counter for a drop that a flag of a rule caused. A rule has counters from its first to its last
/// possible cause. Its index is where a counter for the first of [`crate::abi::CAUSES`] would be, which may lie before
/// the first counter of the map (the addition wraps around).
#[inline(always)]
pub const fn hit(verdict: Verdict) -> Option<u32> {
    match cause(verdict.reason) {
        Some(cause) => Some(verdict.rule.wrapping_add(cause)),
        None => None,
    }
}

/// The result of [`crate::decide()`] for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision<T = Verdict> {
    /// Not NTP: passes, and isn't counted.
    NotNtp,
    /// A byte that matters lies past the bytes at hand. If the frame has no more bytes, the network stack discards the
    /// packet, and it passes uncounted. If the frame continues in another buffer, judge it again with a
    /// [`crate::Packet`] that can read there.
    Truncated,
    /// Judged, to be counted.
    Judged(T),
}

impl Decision {
    /// What becomes of the frame.
    pub const fn action(self) -> Action {
        match self {
            Self::NotNtp | Self::Truncated => Action::Pass,
            Self::Judged(verdict) => verdict.action(),
        }
    }
}

/// What to do with a verdict. This is a trait because a closure can't be forced to be inlined. Each common kind of
/// verdict has a method of its own, in which the reason is a compile-time constant.
pub trait Continuation: Sized {
    /// The result of the continuation.
    type Outcome;

    /// Continues with a verdict and the policy word that led to it.
    fn of(self, word: PolicyWord, verdict: Verdict) -> Self::Outcome;

    /// Continues with what most clients send: a time packet that passes and to which no limit applies.
    #[inline(always)]
    fn of_time(self, word: PolicyWord, verdict: Verdict) -> Self::Outcome {
        self.of(word, verdict)
    }

    /// Continues with what most packets of a flood end as: a drop that no rule's counter counts ([`hit`]).
    #[inline(always)]
    fn of_drop(self, word: PolicyWord, verdict: Verdict) -> Self::Outcome {
        self.of(word, verdict)
    }

    /// Continues with a drop that a counter of its rule counts, where the reason is known at compile time.
    #[inline(always)]
    fn of_hit(self, word: PolicyWord, verdict: Verdict) -> Self::Outcome {
        self.of(word, verdict)
    }
}

/// The continuation that returns the verdict itself.
#[derive(Clone, Copy, Debug)]
pub struct ReturnVerdict;

impl Continuation for ReturnVerdict {
    type Outcome = Verdict;

    #[inline(always)]
    fn of(self, _: PolicyWord, verdict: Verdict) -> Verdict {
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::CAUSES;

    #[test]
    fn each_cause_has_a_counter_of_its_own() {
        let verdict = |reason| Verdict { rule: 5, ..Verdict::of(reason) };
        for (place, cause) in CAUSES.into_iter().enumerate() {
            assert_eq!(hit(verdict(cause)), Some(5 + place as u32));
        }
        for reason in Reason::ALL.iter().filter(|reason| !CAUSES.contains(reason)) {
            assert_eq!(hit(verdict(*reason)), None);
        }
    }
}
