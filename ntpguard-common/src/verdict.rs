//! What comes of a frame: the verdict, and what follows from it.

use crate::{
    abi::{PolicyWord, Rule, cause},
    limit::LimitRequest,
    reason::{Action, Reason},
    wire::Datagram,
};

/// What becomes of a packet to UDP port 123, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Why.
    pub reason: Reason,
    /// The index of the source's rule ([`Rule::index`]); [`Verdict::NO_RULE`] when none was asked.
    pub rule: u32,
    /// What limits have a say in, if they do.
    pub request: LimitRequest,
    /// What was judged, unless the frame hides it: in a fragment, behind too many headers.
    pub datagram: Option<Datagram>,
}

impl Verdict {
    /// In place of a rule's index.
    pub const NO_RULE: u32 = Rule::NO_INDEX;

    /// A verdict that no rule is to blame for.
    #[inline(always)]
    pub const fn of(reason: Reason) -> Self {
        Self { reason, rule: Self::NO_RULE, request: LimitRequest::NOTHING, datagram: None }
    }

    /// A verdict on a datagram, by the rule with this index, that limits have no say in.
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

/// The counter of a drop that a flag of a rule caused. A rule has counters from its first to its last possible cause,
/// and its index is where that of [`crate::abi::CAUSES`]' first would be: maybe before the first counter of all.
#[inline(always)]
pub const fn hit(verdict: Verdict) -> Option<u32> {
    match cause(verdict.reason) {
        Some(cause) => Some(verdict.rule.wrapping_add(cause)),
        None => None,
    }
}

/// What [`crate::decide()`] makes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision<T = Verdict> {
    /// Not ours: passes uncounted.
    NotNtp,
    /// A byte that matters lies past those at hand. If that is all there is, the stack discards the packet, and
    /// it passes uncounted; if the frame goes on in another buffer, ask again with a [`crate::Packet`] that reads there.
    Truncated,
    /// Judged, and to be counted.
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

/// What follows from a verdict. A trait, since a closure can't be made to be inlined; and each kind of verdict that comes
/// often has a way of its own, on which its reason is known when it is compiled.
pub trait Continuation: Sized {
    /// What comes of it.
    type Outcome;

    /// Goes on with a verdict and the policy word that led to it.
    fn of(self, word: PolicyWord, verdict: Verdict) -> Self::Outcome;

    /// Goes on with what most clients send: a time packet that passes, and that limits have no say in.
    #[inline(always)]
    fn of_time(self, word: PolicyWord, verdict: Verdict) -> Self::Outcome {
        self.of(word, verdict)
    }

    /// Goes on with what most floods end as: a drop that is in no counter of a rule ([`hit`]).
    #[inline(always)]
    fn of_drop(self, word: PolicyWord, verdict: Verdict) -> Self::Outcome {
        self.of(word, verdict)
    }

    /// Goes on with a drop that is in a counter of its rule, when the reason is known as this is compiled.
    #[inline(always)]
    fn of_hit(self, word: PolicyWord, verdict: Verdict) -> Self::Outcome {
        self.of(word, verdict)
    }
}

/// The verdict itself.
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
