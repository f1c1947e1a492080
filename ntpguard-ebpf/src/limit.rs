//! The limiter as a global function, which the verifier checks only once.
//!
//! The verifier checks a global function by its signature alone, whatever the caller knows. So the paths through the
//! limiter add to the paths that lead to a verdict, instead of multiplying them. That is why the arguments are numbers
//! and nothing is inlined.

use crate::{
    frame::Frame,
    maps::Maps,
    packed::{IS_V6, family},
};
use ntpguard_common::{
    Packet, Reason, Source, Verdict,
    limit::{self, LimitRequest},
};

/// In the offsets for a kiss: the position of the IP header's offset, above [`IS_V6`] and the UDP payload's offset.
pub(crate) const NETWORK_SHIFT: u32 = 40;

/// Applies limits to a verdict. If the result is a kiss, the frame has been turned into it. `may_kiss`: the request
/// lies in the first buffer, which is required to turn it into a kiss.
#[inline(always)]
pub(crate) fn limit(frame: &impl Frame, at_hand: &impl Packet, verdict: Verdict, may_kiss: bool) -> Verdict {
    let Verdict { request, datagram: Some(datagram), .. } = verdict else { return verdict };
    if !request.is_something() {
        return verdict;
    }
    let Some(source) = datagram.source(at_hand) else { return verdict };
    let (is_v6, [high, low]) = (family(source.is_v6()), source.halves());
    let offsets = is_v6 | (datagram.network as u64) << NETWORK_SHIFT | datagram.payload as u64;
    let reason = match ntpguard_limit(request.0, high, low, is_v6 | datagram.length as u64 & 0xffff) {
        Reason::Limited => Reason::Limited,
        Reason::Kod if may_kiss && frame.kiss(request, offsets) => Reason::Kod,
        Reason::Overload => Reason::Overload,
        Reason::Untracked => Reason::Untracked,
        // A kiss that can't be sent here: the packet passes, and the daemon sends it.
        Reason::Kod => verdict.reason,
        // Limits let it pass. They return none of these reasons but the first two.
        Reason::Time
        | Reason::Query
        | Reason::Unread
        | Reason::NoPolicy
        | Reason::Mode6
        | Reason::Mode7
        | Reason::Ignore
        | Reason::Noquery
        | Reason::Noserve
        | Reason::Version
        | Reason::Notrust
        | Reason::ImpossibleSource
        | Reason::SourcePort
        | Reason::Fragment
        | Reason::Malformed
        | Reason::Mode
        | Reason::Mac
        | Reason::Response
        | Reason::BadQuery
        | Reason::Encapsulated
        | Reason::Tags
        | Reason::Extensions
        | Reason::Segments => verdict.reason,
    };
    Verdict { reason, ..verdict }
}

/// [`ntpguard_common::limit`] with numbers as arguments: the request, the address's [`Source::halves`], and the
/// payload's length with the address family. To the verifier, the result is any 32-bit number.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ntpguard_limit(request: u64, high: u64, low: u64, length: u64) -> Reason {
    let source = if length & IS_V6 == 0 { Source::V4(low as u32) } else { Source::V6([high, low]) };
    limit::limit(LimitRequest(request), &source, length as u16 as usize, &Maps)
}
