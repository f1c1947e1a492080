//! From a frame to an action, and the counting in between: the same at every hook.

use crate::{
    frame::Frame,
    limit,
    maps::{self, Maps},
    packed_verdict::PackedVerdict,
};
use ntpguard_common::{
    Action, Continuation, Decision, Packet, Reason, Verdict, abi::PolicyWord, decide_known, decide_plain,
    decide_then, verdict::hit,
};

/// Judges the frame by its first buffer, or by all buffers if its headers continue in another. Returns the hook's code
/// for the action.
#[inline(always)]
pub(crate) fn run<F: Frame>(frame: &F) -> u32 {
    let linear = &frame.linear();
    let told = match decide_plain(linear, &Maps, CountAndAct::<_, _, false> { frame, at_hand: linear }) {
        Some(decision) => code(frame, decision),
        None => judge(frame, linear),
    };
    match told {
        Some(code) => code,
        None if frame.len() > linear.len() => frame.judge_whole(),
        // The frame is truncated, and the network stack discards it.
        None => pass(frame),
    }
}

/// Lets a frame pass that isn't NTP or is truncated, and counts it only as seen. Frames that are judged have their own
/// counters.
#[inline(always)]
fn pass<F: Frame>(frame: &F) -> u32 {
    maps::see(frame.interface(), frame.queue());
    F::code(Action::Pass)
}

/// Judges the frame, whatever its form, by the bytes at hand; `None` if a byte that matters lies past them.
#[inline(always)]
fn judge<F: Frame>(frame: &F, at_hand: &impl Packet) -> Option<u32> {
    code(frame, decide_then(at_hand, &Maps, CountAndAct::<_, _, false> { frame, at_hand }))
}

/// Judges the frame by all of its bytes and by what its hook knows about it: [`Frame::judge_whole`].
#[inline(always)]
pub(crate) fn whole<F: Frame>(frame: &F) -> u32 {
    let then = CountAndAct::<_, _, true> { frame, at_hand: frame };
    let of_several = |datagram| frame.of_several(datagram);
    let decision = decide_known(frame, frame.network(), of_several, &Maps, then);
    code(frame, decision).unwrap_or_else(|| pass(frame))
}

#[inline(always)]
fn code<F: Frame>(frame: &F, decision: Decision<u32>) -> Option<u32> {
    match decision {
        Decision::NotNtp => Some(pass(frame)),
        Decision::Truncated => None,
        Decision::Judged(code) => Some(code),
    }
}

/// What follows a verdict: limits, counters, events. IS_WHOLE: the verdict is based on the whole frame, including all
/// datagrams if it holds several.
struct CountAndAct<'a, F, P, const IS_WHOLE: bool> {
    frame: &'a F,
    at_hand: &'a P,
}

impl<F: Frame, P: Packet, const IS_WHOLE: bool> Continuation for CountAndAct<'_, F, P, IS_WHOLE> {
    type Outcome = u32;

    #[inline(always)]
    fn of(self, word: PolicyWord, verdict: Verdict) -> u32 {
        if self.goes_on() {
            return self.frame.judge_whole();
        }
        // No kiss when the whole frame is judged: its request may not lie in the first buffer, and both functions
        // together would exceed the 512 bytes of stack that nested calls share.
        let verdict = limit::limit(self.frame, self.at_hand, verdict, !IS_WHOLE);
        match verdict {
            // Most packets of a flood of requests end here.
            Verdict { reason: Reason::Limited, rule, datagram: Some(datagram), .. } => {
                self.of_hit(word, Verdict::on(datagram, Reason::Limited, rule))
            }
            _ => self.end(word, verdict, verdict.action(), hit(verdict)),
        }
    }

    #[inline(always)]
    fn of_time(self, word: PolicyWord, verdict: Verdict) -> u32 {
        if self.goes_on() {
            return self.frame.judge_whole();
        }
        self.end(word, verdict, Action::Pass, None)
    }

    #[inline(always)]
    fn of_drop(self, word: PolicyWord, verdict: Verdict) -> u32 {
        if self.goes_on() {
            return self.frame.judge_whole();
        }
        self.end(word, verdict, Action::Drop, None)
    }

    #[inline(always)]
    fn of_hit(self, word: PolicyWord, verdict: Verdict) -> u32 {
        if self.goes_on() {
            return self.frame.judge_whole();
        }
        self.end(word, verdict, Action::Drop, hit(verdict))
    }
}

impl<F: Frame, P: Packet, const IS_WHOLE: bool> CountAndAct<'_, F, P, IS_WHOLE> {
    /// Whether the frame holds further datagrams that affect the verdict. Nothing has been counted or charged at this
    /// point.
    #[inline(always)]
    fn goes_on(&self) -> bool {
        !IS_WHOLE && self.frame.is_several()
    }

    /// Counts a verdict and the flag of its rule that caused it, and samples and logs it as required.
    #[inline(always)]
    fn end(self, word: PolicyWord, verdict: Verdict, action: Action, hit: Option<u32>) -> u32 {
        let frame = self.frame;
        // Under XDP the frame's length takes a call that costs almost as much as the whole verdict (8 ns), so it is
        // made only if there may be more buffers.
        let first = frame.linear().len();
        let whole = verdict.datagram.is_some_and(|datagram| datagram.end as u64 <= first);
        let bytes = if whole { first } else { frame.len() };
        let count = maps::count(word.bank(), verdict.reason, hit, frame.interface(), bytes);
        frame.trace(verdict);
        if action != Action::Pass && maps::is_told(verdict.reason, count) {
            frame.emit(PackedVerdict::new(verdict, bytes));
        }
        let passes = action == Action::Drop && word.has(PolicyWord::TRIAL);
        F::code(if passes { Action::Pass } else { action })
    }
}
