//! Frame to action, and the counters in between: the same at every hook.

use crate::{
    limit,
    maps::{self, Maps},
    packet::Frame,
    sample::Words,
};
use ntpguard_common::{Action, Decision, Lookup as _, Verdict, abi::Settings, decide};

/// Judges the frame; `told` is called with the verdict when there is one.
#[inline(always)]
pub(crate) fn run(frame: &impl Frame, told: impl Fn(Verdict)) -> Action {
    let linear = frame.linear();
    let decision = match decide(&linear, &Maps) {
        // The headers go on in another buffer, or the frame is cut short.
        Decision::Truncated if frame.len() > linear.len() => decide(frame, &Maps),
        decision => decision,
    };
    let Decision::Judged(verdict) = decision else { return Action::Pass };
    let verdict = limit::limit(frame, verdict);
    // Under XDP a call that costs almost as much as the whole verdict (8 ns): only where there may be more buffers.
    let whole = verdict.datagram.is_some_and(|datagram| datagram.end as u64 <= linear.len());
    let bytes = if whole { linear.len() } else { frame.len() };
    let count = maps::count(verdict, frame.interface(), bytes);
    told(verdict);
    let action = verdict.action();
    if action != Action::Pass && maps::is_told(verdict.reason, count) {
        frame.tell(Words::new(verdict, bytes));
    }
    match action {
        Action::Drop if Maps.settings().has(Settings::MONITOR) => Action::Pass,
        action => action,
    }
}
