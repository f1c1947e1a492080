//! The verdict: one pure function, run in the kernel and on the host.
//!
//! Order, and why:
//! 1. what isn't UDP to port 123 passes before any map is touched;
//! 2. without a policy everything passes;
//! 3. fragments, contradictory lengths, more headers than are followed, since nothing after them can be judged;
//! 4. responses, and modes 6 and 7 when nobody may query: no lookup, since this is what floods are made of;
//! 5. sources that can't be, so that no spoofer reaches the rule of another; source ports that the daemon refuses;
//! 6. the source's rule, its flags in the daemon's order (ntp_proto.c:receive): ignore, noquery, noserve, version;
//! 7. what the daemon discards by its form; notrust, which asks for a MAC, last.

use crate::{
    abi::{PolicyWord, Rule},
    form::{self, Trailer},
    limit::LimitRequest,
    packet::Packet,
    reason::Reason,
    source::Source,
    verdict::{Continuation, Decision, ReturnVerdict, Verdict},
    wire::{
        self, Datagram, Located, PlainV4, PlainV6,
        ntp::{self, CONTROL_HEADER_LEN, Control, Mode, PRIVATE_HEADER_LEN, Private},
    },
};

/// Where the verdict looks things up: maps in the kernel, an image on the host.
pub trait Lookup {
    /// What is in force now; one consistent reading.
    fn word(&self) -> PolicyWord;
    /// The rule for a source and its UDP port (host byte order), in the given slot; [`Rule::NONE`] if there is none.
    fn rule(&self, slot: u32, source: &Source, port: u16) -> Rule;
}

/// Judges a frame.
#[inline(always)]
pub fn decide<P, L>(packet: &P, policy: &L) -> Decision
where
    P: Packet + ?Sized,
    L: Lookup + ?Sized,
{
    decide_plain(packet, policy, ReturnVerdict).unwrap_or_else(|| decide_then(packet, policy, ReturnVerdict))
}

/// Judges a frame, and goes on. What follows is compiled for each kind of verdict: so those that floods are made of carry
/// nothing along that only others need.
#[inline(always)]
pub fn decide_then<P, L, C>(packet: &P, policy: &L, then: C) -> Decision<C::Outcome>
where
    P: Packet + ?Sized,
    L: Lookup + ?Sized,
    C: Continuation,
{
    by_headers(wire::locate(packet), packet, packet, policy, then)
}

/// The same of a frame of which more is known than its bytes say: where its network header is, if it isn't an Ethernet frame;
/// and `of_several`, which of several datagrams, one behind the other, is the one to be judged ([`wire::segments`]).
#[inline(always)]
pub fn decide_known<P, L, C>(
    packet: &P,
    network: Option<wire::Network>,
    of_several: impl FnOnce(Datagram) -> Located,
    policy: &L,
    then: C,
) -> Decision<C::Outcome>
where
    P: Packet + ?Sized,
    L: Lookup + ?Sized,
    C: Continuation,
{
    let located = match wire::locate_from(packet, network) {
        Located::Datagram(datagram) => of_several(datagram),
        other => other,
    };
    by_headers(located, packet, packet, policy, then)
}

/// The same of a plain frame ([`wire::PlainV4`], [`wire::PlainV6`]), as nearly all are; `None` if it is another. For the
/// compiler, which knows then where everything lies.
#[inline(always)]
pub fn decide_plain<P, L, C>(packet: &P, policy: &L, then: C) -> Option<Decision<C::Outcome>>
where
    P: Packet + ?Sized,
    L: Lookup + ?Sized,
    C: Continuation,
{
    let headers = packet.load::<PlainV4>(0)?;
    if let Some(located) = headers.locate() {
        return Some(by_headers(located, &*headers, packet, policy, then));
    }
    let headers = packet.load::<PlainV6>(0)?;
    let located = headers.locate()?;
    Some(by_headers(located, &*headers, packet, policy, then))
}

/// Judges a frame by what was found in its headers, and what is behind them by the packet.
#[inline(always)]
fn by_headers<H, P, L, C>(
    located: Located,
    headers: &H,
    packet: &P,
    policy: &L,
    then: C,
) -> Decision<C::Outcome>
where
    H: Packet + ?Sized,
    P: Packet + ?Sized,
    L: Lookup + ?Sized,
    C: Continuation,
{
    let datagram = match located {
        Located::Datagram(datagram) => datagram,
        Located::NotNtp => return Decision::NotNtp,
        Located::Truncated => return Decision::Truncated,
        hidden => {
            let word = policy.word();
            return Decision::Judged(then.of(word, Verdict::of(unjudged(word, hidden))));
        }
    };
    let word = policy.word();
    if !word.has(PolicyWord::INSTALLED) {
        let verdict = Verdict::on(datagram, Reason::NoPolicy, Verdict::NO_RULE);
        return Decision::Judged(then.of(word, verdict));
    }
    let request = match ask(headers, policy, word, datagram) {
        Some(Ok(request)) => request,
        Some(Err(reason)) => {
            let verdict = Verdict::on(datagram, reason, Verdict::NO_RULE);
            return Decision::Judged(then.of_drop(word, verdict));
        }
        None => return Decision::Truncated,
    };
    let (rule, first) = request;
    let verdict = if !rule.has(Rule::AGAINST_REQUESTS) && form::is_common_request(first, datagram.length) {
        let verdict = Verdict::on(datagram, Reason::Time, rule.index);
        match LimitRequest::of(word, rule, Reason::Time, first) {
            LimitRequest::NOTHING => return Decision::Judged(then.of_time(word, verdict)),
            request => Some(Verdict { request, ..verdict }),
        }
    } else if rule.has(Rule::OWN) && word.has(PolicyWord::HARDEN_SOURCES) {
        let verdict = Verdict::on(datagram, Reason::ImpossibleSource, rule.index);
        return Decision::Judged(then.of_drop(word, verdict));
    } else if rule.has(Rule::IGNORE) {
        let verdict = Verdict::on(datagram, Reason::Ignore, rule.index);
        return Decision::Judged(then.of_hit(word, verdict));
    } else {
        judge(packet, word, datagram, request)
    };
    match verdict {
        Some(verdict) => Decision::Judged(then.of(word, verdict)),
        None => Decision::Truncated,
    }
}

/// Why a frame passes or is dropped that hides its datagram.
#[inline(always)]
fn unjudged(word: PolicyWord, located: Located) -> Reason {
    let (hardening, reason) = match located {
        Located::Encapsulated => return Reason::Encapsulated,
        Located::TooManyTags => (PolicyWord::HARDEN_TAGS, Reason::Tags),
        Located::TooManyExtensions => (PolicyWord::HARDEN_EXTENSIONS, Reason::Extensions),
        Located::TooManySegments => (PolicyWord::HARDEN_SEGMENTS, Reason::Segments),
        Located::Malformed if word.has(PolicyWord::INSTALLED) => return Reason::Malformed,
        Located::Fragment if word.has(PolicyWord::INSTALLED) => {
            (PolicyWord::HARDEN_FRAGMENTS, Reason::Fragment)
        }
        Located::Malformed | Located::Fragment => return Reason::NoPolicy,
        // These hide no datagram, and don't come here.
        Located::NotNtp | Located::Truncated | Located::Datagram(_) => return Reason::Unread,
    };
    if word.has(hardening) { reason } else { Reason::Unread }
}

/// The source's rule and the payload's first byte; or why the datagram is dropped without one. `None` when a byte that
/// matters lies past those at hand.
#[inline(always)]
fn ask<P, L>(
    packet: &P,
    policy: &L,
    word: PolicyWord,
    datagram: Datagram,
) -> Option<Result<(Rule, u8), Reason>>
where
    P: Packet + ?Sized,
    L: Lookup + ?Sized,
{
    if datagram.length < 2 {
        // Too short for any mode of any daemon. Two, so that the verifier learns the packet's end: it makes nothing
        // of a one-byte compare that the compiler has turned into `pointer >= end`
        // (kernel/bpf/verifier.c:find_good_pkt_pointers).
        return Some(Err(Reason::Malformed));
    }
    let [first, second]: [u8; 2] = *packet.load(datagram.payload)?;
    // The bit that says "response" is in the first byte of mode 7, in the second of mode 6.
    let refused = match Mode::of(first) {
        Mode::Time => None,
        Mode::Control => refuses(word, second, PolicyWord::NOBODY_CONTROL, Reason::Mode6),
        Mode::Private => refuses(word, first, PolicyWord::NOBODY_PRIVATE, Reason::Mode7),
    };
    if let Some(reason) = refused {
        return Some(Err(reason));
    }
    let (source, port) = (datagram.source(packet)?, datagram.source_port(packet)?);
    if source.is_impossible()
        && let Some(reason) = impossible(word, &source)
    {
        return Some(Err(reason));
    }
    if port < ntp::PORT && port < form::lowest_source_port(word) {
        return Some(Err(Reason::SourcePort));
    }
    Some(Ok((policy.rule(word.slot(), &source, port), first)))
}

/// Why a query is dropped whoever sends it; `response` has the bit that says so.
#[inline(always)]
const fn refuses(word: PolicyWord, response: u8, nobody: u32, reason: Reason) -> Option<Reason> {
    if response & 0x80 != 0 && word.has(PolicyWord::HARDEN_RESPONSES) {
        Some(Reason::Response)
    } else if word.has(nobody) {
        Some(reason)
    } else {
        None
    }
}

/// Judges a datagram by its source's rule; `None` when a byte that matters lies past those at hand.
#[inline(always)]
fn judge<P: Packet + ?Sized>(
    packet: &P,
    word: PolicyWord,
    datagram: Datagram,
    (rule, first): (Rule, u8),
) -> Option<Verdict> {
    let reason = if rule.has(Rule::NO_RULE) {
        Reason::NoPolicy
    } else {
        match Mode::of(first) {
            Mode::Time => time(packet, word, rule, datagram, first)?,
            Mode::Control => query(packet, word, rule, datagram, first, Reason::Mode6)?,
            Mode::Private => query(packet, word, rule, datagram, first, Reason::Mode7)?,
        }
    };
    let request = LimitRequest::of(word, rule, reason, first);
    Some(Verdict { request, ..Verdict::on(datagram, reason, rule.index) })
}

/// What becomes of a packet from a source that can't be; `None` if it is judged like any other.
#[inline(always)]
fn impossible(word: PolicyWord, source: &Source) -> Option<Reason> {
    if word.has(PolicyWord::HARDEN_SOURCES) {
        Some(Reason::ImpossibleSource)
    } else if source.is_multicast() {
        // All daemons: ntp_restrict.c:restrictions.
        Some(Reason::Ignore)
    } else if source.is_loopback_v6() && word.has(PolicyWord::REFUSES_LOOPBACK_V6) {
        Some(Reason::ImpossibleSource)
    } else {
        None
    }
}

/// Judges a time packet.
#[inline(always)]
fn time<P: Packet + ?Sized>(
    packet: &P,
    word: PolicyWord,
    rule: Rule,
    datagram: Datagram,
    first: u8,
) -> Option<Reason> {
    let Datagram { payload, length, .. } = datagram;
    if rule.has(Rule::NOSERVE) {
        return Some(Reason::Noserve);
    }
    if rule.has(Rule::VERSION) && is_not_version_4(first) {
        return Some(Reason::Version);
    }
    if let Some(reason) = form::discards_time(word, first, length) {
        return Some(reason);
    }
    let trailer = form::trailer(packet, word, first, payload, length)?;
    Some(match trailer {
        Trailer::Bad => Reason::Malformed,
        Trailer::Nothing if rule.has(Rule::NOTRUST) => Reason::Notrust,
        Trailer::Extensions if rule.has(Rule::NOTRUST) && word.has(PolicyWord::NOTRUST_BEFORE_EXTENSIONS) => {
            Reason::Notrust
        }
        Trailer::Mac if rule.has(Rule::NO_MAC) => Reason::Mac,
        Trailer::Nak if rule.has(Rule::NO_KISS) => Reason::Malformed,
        Trailer::Nothing | Trailer::Mac | Trailer::Nak | Trailer::Extensions => Reason::Time,
    })
}

/// Judges a query; `unlisted` is its reason when no line lets its source ask.
#[inline(always)]
fn query<P: Packet + ?Sized>(
    packet: &P,
    word: PolicyWord,
    rule: Rule,
    datagram: Datagram,
    first: u8,
    unlisted: Reason,
) -> Option<Reason> {
    let Datagram { payload, length, .. } = datagram;
    if rule.has(Rule::NOQUERY) {
        return Some(Reason::Noquery);
    }
    if rule.has(Rule::VERSION) && word.has(PolicyWord::VERSION_FOR_QUERIES) && is_not_version_4(first) {
        return Some(Reason::Version);
    }
    if rule.has(Rule::UNLISTED) {
        return Some(unlisted);
    }
    let (discarded, bad) = if Mode::of(first) == Mode::Private {
        if length < PRIVATE_HEADER_LEN {
            return Some(Reason::Malformed);
        }
        let head = Private::load(packet, payload)?;
        (head.is_discarded(), head.is_bad(length))
    } else {
        if length < CONTROL_HEADER_LEN {
            return Some(Reason::Malformed);
        }
        let head = Control::load(packet, payload)?;
        (head.is_discarded(), head.is_bad(length))
    };
    Some(if discarded {
        Reason::Malformed
    } else if bad && word.has(PolicyWord::HARDEN_FORM) {
        Reason::BadQuery
    } else {
        Reason::Query
    })
}

/// What the flag `version` refuses.
#[inline(always)]
const fn is_not_version_4(first_byte: u8) -> bool {
    first_byte >> 3 & 7 != 4
}

#[cfg(test)]
mod tests;
