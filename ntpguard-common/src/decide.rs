//! The verdict: one pure function that runs in the kernel and on the host.
//!
//! The order of the checks, with reasons:
//! 1. What isn't UDP to port 123 passes before any map is accessed.
//! 2. Without a policy everything passes.
//! 3. Fragments, contradictory lengths, and more headers than are followed: what comes after them can't be judged.
//! 4. Responses, and modes 6 and 7 if nobody may query: floods consist of these, so they cost no lookup.
//! 5. Impossible sources, so that a spoofed address doesn't get another source's rule; source ports that the daemon
//!    refuses.
//! 6. The source's rule, or that of an association (`restrict source`): its flags in the daemon's order (ntp_proto.c:receive): ignore, noquery, noserve, version.
//! 7. What the daemon discards by its form; last `notrust`, which requires a MAC.

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

/// The source of the policy word and the rules: maps in the kernel, an image on the host.
pub trait Lookup {
    /// The policy word in force, read once and consistently.
    fn word(&self) -> PolicyWord;
    /// The rule for a source and its UDP port (host byte order), in the given slot; [`Rule::NONE`] if there is none.
    fn rule(&self, slot: u32, source: &Source, port: u16) -> Rule;
    /// The rule for a source whose rule, `found`, [yields](Rule::YIELDS) to that of an association
    /// ([`crate::associations::rule`]); `first` is the packet's first byte. Without associations, it is the same rule.
    fn association(&self, _slot: u32, _source: &Source, _port: u16, _first: u8, found: Rule) -> Rule {
        found
    }
    /// The rule that decides on a packet: its source's, or that of an association.
    #[inline(always)]
    fn deciding(&self, slot: u32, source: &Source, port: u16, first: u8) -> Rule {
        let rule = self.rule(slot, source, port);
        if rule.has(Rule::YIELDS) { self.association(slot, source, port, first, rule) } else { rule }
    }
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

/// Judges a frame and continues with `then`. The continuation is compiled separately for each kind of verdict, so that
/// the common verdicts of a flood carry none of the code that only other verdicts need.
#[inline(always)]
pub fn decide_then<P, L, C>(packet: &P, policy: &L, then: C) -> Decision<C::Outcome>
where
    P: Packet + ?Sized,
    L: Lookup + ?Sized,
    C: Continuation,
{
    by_headers(wire::locate(packet), packet, packet, policy, then)
}

/// Like [`decide_then`], with more information than the frame itself has: `network` is its network header if it isn't
/// an Ethernet frame, and `of_several` picks the datagram to judge if the frame holds several in a row
/// ([`wire::segments`]).
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

/// Like [`decide_then`], for a plain frame ([`wire::PlainV4`], [`wire::PlainV6`]), as nearly all are; `None` for any
/// other. With all offsets known at compile time, the compiler generates shorter code.
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

/// Judges a frame by what was located in it: its headers are read from `headers`, and what follows them from `packet`.
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

/// The reason for the verdict on a frame whose datagram can't be read.
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
        // Never reached: these don't hide a datagram.
        Located::NotNtp | Located::Truncated | Located::Datagram(_) => return Reason::Unread,
    };
    if word.has(hardening) { reason } else { Reason::Unread }
}

/// The source's rule and the payload's first byte, or the reason why the datagram is dropped without a rule. `None` if
/// a byte that matters lies past the bytes at hand.
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
        // Too short for any mode of any daemon. Two bytes rather than one, so that the verifier learns where the packet
        // ends: it learns nothing from a one-byte check, which the compiler turns into `pointer >= end`
        // (kernel/bpf/verifier.c:find_good_pkt_pointers).
        return Some(Err(Reason::Malformed));
    }
    let [first, second]: [u8; 2] = *packet.load(datagram.payload)?;
    // The response bit is in the first byte of mode 7 and in the second byte of mode 6.
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
    Some(Ok((policy.deciding(word.slot(), &source, port, first), first)))
}

/// The reason why a query is dropped whoever sends it; `response` is the byte with the response bit.
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

/// Judges a datagram by its source's rule; `None` if a byte that matters lies past the bytes at hand.
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

/// The reason why a packet from an impossible source is dropped; `None` if it is judged like any other.
#[inline(always)]
fn impossible(word: PolicyWord, source: &Source) -> Option<Reason> {
    if word.has(PolicyWord::HARDEN_SOURCES) {
        Some(Reason::ImpossibleSource)
    } else if source.is_multicast() {
        // All daemons ignore it: ntp_restrict.c:restrictions.
        Some(Reason::Ignore)
    } else if source.is_loopback_v6() && word.has(PolicyWord::REFUSES_LOOPBACK_V6) {
        Some(Reason::ImpossibleSource)
    } else {
        None
    }
}

/// Judges a time packet (modes 0 to 5).
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

/// Judges a query (mode 6 or 7); `unlisted` is the reason to give if no line permits its source to query.
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

/// Whether the flag `version` refuses a packet with this first byte.
#[inline(always)]
const fn is_not_version_4(first_byte: u8) -> bool {
    first_byte >> 3 & 7 != 4
}

#[cfg(test)]
mod tests;
