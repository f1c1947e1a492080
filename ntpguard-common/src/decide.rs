//! The verdict: one pure function, run in the kernel and on the host.
//!
//! Order, and why:
//! 1. what isn't UDP to port 123 passes before any map is touched;
//! 2. without a policy everything passes;
//! 3. fragments and contradictory lengths, since nothing after them can be judged;
//! 4. modes 6 and 7 when nobody may query: no lookup, since this is what floods are made of;
//! 5. sources that can't be, so that no spoofer reaches the rule of another;
//! 6. the source's rule, its flags in the daemon's order (ntp_proto.c:receive): ignore, noquery, noserve;
//! 7. what every daemon discards by its form.

use crate::{
    abi::{Rule, Settings},
    packet::Packet,
    reason::{Action, Reason},
    source::Source,
    wire::{
        self, Datagram, Located,
        ntp::{self, Mode},
    },
};

/// Where the verdict looks things up: maps in the kernel, an image on the host.
pub trait Lookup {
    /// What is in force now; one consistent reading.
    fn settings(&self) -> Settings;
    /// The rule of the longest prefix that holds the source, in the given slot.
    fn rule(&self, slot: u32, source: &Source) -> Option<Rule>;
}

/// What becomes of a packet to UDP port 123, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Why.
    pub reason: Reason,
    /// The index of the source's rule; [`Verdict::NO_RULE`] when none was asked.
    pub rule: u32,
    /// What was judged, unless the frame hides it: in a fragment, behind too many headers.
    pub datagram: Option<Datagram>,
}

impl Verdict {
    /// In place of a rule's index.
    pub const NO_RULE: u32 = u32::MAX;

    /// A verdict that no rule is to blame for.
    #[inline(always)]
    pub const fn of(reason: Reason) -> Self {
        Self { reason, rule: Self::NO_RULE, datagram: None }
    }

    /// What becomes of the packet.
    #[inline(always)]
    pub const fn action(self) -> Action {
        self.reason.action()
    }
}

/// What [`decide`] makes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Not ours: passes uncounted.
    NotNtp,
    /// A byte that matters lies past those at hand. If that is all there is, the stack discards the packet, and
    /// it passes uncounted; if the frame goes on in another buffer, ask again with a [`Packet`] that reads there.
    Truncated,
    /// Judged, and to be counted.
    Judged(Verdict),
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

/// Judges a frame.
#[inline(always)]
pub fn decide<P, L>(packet: &P, policy: &L) -> Decision
where
    P: Packet + ?Sized,
    L: Lookup + ?Sized,
{
    let located = match wire::locate(packet) {
        Located::NotNtp => return Decision::NotNtp,
        Located::Truncated => return Decision::Truncated,
        Located::TooDeep => return Decision::Judged(Verdict::of(Reason::Unread)),
        located => located,
    };
    let settings = policy.settings();
    let verdict = if !settings.has(Settings::INSTALLED) {
        Verdict::of(Reason::NoPolicy)
    } else if let Located::Datagram(datagram) = located {
        let Some(verdict) = judge(packet, policy, settings, datagram) else { return Decision::Truncated };
        verdict
    } else if located == Located::Fragment {
        Verdict::of(if settings.has(Settings::HARDENING) { Reason::Fragment } else { Reason::Unread })
    } else {
        Verdict::of(Reason::Malformed)
    };
    Decision::Judged(verdict)
}

/// Judges a datagram; `None` when a byte that matters lies past those at hand.
#[inline(always)]
fn judge<P, L>(packet: &P, policy: &L, settings: Settings, datagram: Datagram) -> Option<Verdict>
where
    P: Packet + ?Sized,
    L: Lookup + ?Sized,
{
    let Datagram { source, payload, length, .. } = datagram;
    let by_no_rule = |reason| Some(Verdict { reason, rule: Verdict::NO_RULE, datagram: Some(datagram) });
    if length == 0 {
        // The daemons' read_network_packet() discards it.
        return by_no_rule(Reason::Malformed);
    }
    // Two bytes, the UDP header's last and the payload's first: the verifier learns nothing from a one-byte
    // compare that the compiler has turned into `pointer >= end` (kernel/bpf/verifier.c:find_good_pkt_pointers).
    let [_, first_byte]: [u8; 2] = packet.load(payload - 1)?;
    let mode = Mode::of(first_byte);
    // A query's own reason, when no line lets its source ask.
    let unlisted = match mode {
        Mode::Time => None,
        Mode::Control => Some(Reason::Mode6),
        Mode::Private => Some(Reason::Mode7),
    };
    if let Some(unlisted) = unlisted
        && settings.has(Settings::NOBODY_QUERIES)
    {
        return by_no_rule(unlisted);
    }
    if settings.has(Settings::HARDENING) && source.is_impossible() {
        return by_no_rule(Reason::ImpossibleSource);
    }
    let Some(rule) = policy.rule(settings.slot, &source) else { return by_no_rule(Reason::NoPolicy) };
    let reason = match unlisted {
        _ if rule.has(Rule::IGNORE) => Reason::Ignore,
        None if rule.has(Rule::NOSERVE) => Reason::Noserve,
        Some(_) if rule.has(Rule::NOQUERY) => Reason::Noquery,
        Some(unlisted) if rule.has(Rule::UNLISTED) => unlisted,
        _ => {
            let (discarded, passed) = match mode {
                Mode::Time => (ntp::discards_time(first_byte, length), Reason::Time),
                Mode::Control => (ntp::discards_control(packet, payload, length)?, Reason::Query),
                Mode::Private => (ntp::discards_private(packet, payload, length)?, Reason::Query),
            };
            if discarded { Reason::Malformed } else { passed }
        }
    };
    Some(Verdict { reason, rule: rule.index, datagram: Some(datagram) })
}
