//! What happened to one packet, in whole sentences about that packet.
//!
//! The table of reasons ([`Reason::summary`]) describes all packets that a reason applies to; here the packet is known, so
//! the sentence names its mode, its source and what decided.

use crate::policy::network;
use ntpguard_common::{
    Reason,
    wire::{
        self, Located,
        ntp::{Mode, TIME_HEADER_LEN},
    },
};
use std::net::IpAddr;

/// Request codes of monlist (ntp_request.h: REQ_MON_GETLIST and REQ_MON_GETLIST_1).
const MONLIST: [u8; 2] = [20, 42];

/// A datagram to port 123.
pub(super) struct Packet {
    /// The first bytes of its payload, padded with zeros.
    head: [u8; 4],
    /// The length of its payload in bytes, by its headers.
    length: usize,
    source: IpAddr,
    source_port: u16,
}

/// Facts that aren't in the packet itself.
pub(super) struct Known {
    /// The packet is dropped, but the daemon by its own reading would have taken it.
    pub(super) hardened: bool,
    /// The daemon takes packets of mode 7.
    pub(super) takes_mode7: bool,
    /// The flag that the reason names is from a line, not from a built-in entry.
    pub(super) has_line: bool,
    /// The source is an address of this host.
    pub(super) is_own: bool,
}

impl Packet {
    /// Parses a frame; `None` if it holds no whole, readable datagram to port 123.
    pub(super) fn of(frame: &[u8]) -> Option<Self> {
        let Located::Datagram(datagram) = wire::locate(frame) else { return None };
        let mut head = [0; 4];
        let payload = frame.get(datagram.payload..).unwrap_or(&[]);
        let there = payload.len().min(datagram.length).min(head.len());
        head[..there].copy_from_slice(&payload[..there]);
        let (source, source_port) = (datagram.source(frame)?, datagram.source_port(frame)?);
        Some(Self { head, length: datagram.length, source: network::address(&source), source_port })
    }

    /// What kind of packet it is, worded to follow "this": "request for the time", "monlist request".
    fn kind(&self) -> String {
        let [first, second, _, request] = self.head;
        let mode = first & 7;
        match Mode::of(first) {
            Mode::Private if MONLIST.contains(&request) => "monlist request (mode 7)".to_owned(),
            Mode::Private => format!("query (mode 7, request {request})"),
            Mode::Control => format!("query (mode 6, opcode {})", second & 0x1f),
            Mode::Time if mode == 3 => "request for the time".to_owned(),
            Mode::Time if mode == 4 => "server's answer (mode 4)".to_owned(),
            Mode::Time => format!("time packet of mode {mode}"),
        }
    }

    fn version(&self) -> u8 {
        self.head[0] >> 3 & 7
    }
}

/// What happened to a packet, for this reason.
pub(super) fn sentence(reason: Reason, packet: Option<&Packet>, known: &Known) -> String {
    let Some(packet) = packet else { return hidden(reason).to_owned() };
    let Packet { length, source, source_port, .. } = packet;
    let (kind, version, mode) = (packet.kind(), packet.version(), packet.head[0] & 7);
    let says = |flag: &str| {
        if known.has_line {
            format!("the line for {source} says `{flag}`")
        } else {
            format!("what is built in for {source} says `{flag}`")
        }
    };
    let told = match reason {
        Reason::Time => format!("this {kind} from {source} is left to the daemon"),
        Reason::Query => format!("this {kind} is left to the daemon, which takes queries from {source}"),
        Reason::Mode7 if !known.takes_mode7 => {
            format!("this daemon takes no mode 7, so this {kind} is for nobody")
        }
        Reason::Mode6 | Reason::Mode7 if known.is_own && known.hardened => {
            return format!("{}, whatever line names it, so this {kind} lets nobody in", impossible(*source));
        }
        Reason::Mode6 | Reason::Mode7 if known.hardened => format!(
            "no line but `restrict default` lets {source} query, and with `--queries listed` that isn't enough for this {kind}"
        ),
        Reason::Mode6 | Reason::Mode7 => {
            format!(
                "the daemon answers queries of mode {mode} from nobody, so this {kind} is dropped whoever sent it"
            )
        }
        Reason::Ignore if source.is_multicast() => {
            format!("{source} is a multicast address, and the daemon ignores what claims to come from one")
        }
        Reason::Ignore => format!("{}, so the daemon ignores this {kind}", says("ignore")),
        Reason::Noquery => format!("{}, so the daemon doesn't answer this {kind}", says("noquery")),
        Reason::Noserve => format!("{}, so the daemon doesn't take this {kind}", says("noserve")),
        Reason::Version => {
            format!(
                "this {kind} is of NTP version {version}, and {}: version 4 alone is taken",
                says("version")
            )
        }
        Reason::Notrust => {
            format!("this {kind} has nothing that authenticates it, and {}", says("notrust"))
        }
        Reason::Limited => format!(
            "{source} has sent more than the daemon's rate limit allows, and {}, so this {kind} gets no answer",
            says("limited")
        ),
        Reason::Kod => format!(
            "{source} has sent more than the daemon's rate limit allows, and is told so by a kiss-o'-death (RATE), as the daemon would"
        ),
        Reason::ImpossibleSource => {
            format!("{}, so nobody out there can have sent this {kind}", impossible(*source))
        }
        Reason::SourcePort => format!("this daemon takes no packet from UDP port {source_port}"),
        Reason::Malformed if *length < TIME_HEADER_LEN && mode < 6 => {
            format!("this {kind} has {length} bytes, and no daemon takes fewer than {TIME_HEADER_LEN}")
        }
        Reason::Malformed => {
            format!("the daemon discards this {kind} of {length} bytes, version {version}, for its form")
        }
        Reason::Mode => format!("the daemon takes mode {mode} of version {version} from nobody"),
        Reason::Mac => {
            format!("this {kind} has a MAC, and without a trusted key NTPsec discards whatever has one")
        }
        Reason::Response => format!(
            "this {kind} bears the mark of a response, and the daemon has asked nobody: it is a reflection, or a loop"
        ),
        Reason::BadQuery => format!("the daemon would answer this {kind} with an error, for its form"),
        Reason::Overload => format!("this {kind} is one too many for --max-rate"),
        Reason::Untracked => {
            format!("the table of sources has no place for {source}, so this {kind} passes unlimited")
        }
        Reason::Unread
        | Reason::NoPolicy
        | Reason::Encapsulated
        | Reason::Fragment
        | Reason::Tags
        | Reason::Extensions
        | Reason::Segments => hidden(reason).to_owned(),
    };
    if known.is_own && reason != Reason::ImpossibleSource {
        // The packet was dropped before its source was checked, or that check is turned off.
        return format!("{told}; and {}, whatever line names it", impossible(*source));
    }
    told
}

/// Why an address can't be the source of a packet from outside.
fn impossible(source: IpAddr) -> String {
    let what = match source {
        _ if source.is_loopback() => "a loopback address",
        _ if source.is_unspecified() => "the unspecified address",
        _ if source.is_multicast() => "a multicast address",
        IpAddr::V4(address) if address.is_broadcast() => "the broadcast address",
        IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => "an IPv4-mapped IPv6 address",
        _ => "an address of this host itself",
    };
    format!("{source} is {what}, which is an impossible source on a wire")
}

/// The sentence for a frame whose datagram can't be read.
const fn hidden(reason: Reason) -> &'static str {
    match reason {
        Reason::Fragment => {
            "this is the first fragment of a datagram to port 123, or one that hides its port in the next"
        }
        Reason::Tags => "this frame has more than eight VLAN tags, and what is behind them nobody looks at",
        Reason::Extensions => {
            "this packet has more than eight IPv6 extension headers, and what is behind them nobody looks at"
        }
        Reason::Segments => "this frame holds more than 64 datagrams, and only so many are looked at",
        Reason::Encapsulated => "this packet has another one in it, and is left to the stack unread",
        Reason::Unread => "ntpguard doesn't look into this frame, and without hardening it passes unread",
        Reason::NoPolicy => "no policy is in force, so everything passes",
        Reason::Malformed => "the stack discards this datagram for the lengths in its headers",
        // These reasons apply only to a datagram that can be read.
        Reason::Time
        | Reason::Query
        | Reason::Mode6
        | Reason::Mode7
        | Reason::Ignore
        | Reason::Noquery
        | Reason::Noserve
        | Reason::Version
        | Reason::Notrust
        | Reason::Limited
        | Reason::Kod
        | Reason::ImpossibleSource
        | Reason::SourcePort
        | Reason::Mode
        | Reason::Mac
        | Reason::Response
        | Reason::BadQuery
        | Reason::Untracked
        | Reason::Overload => reason.summary(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::frame;

    const KNOWN: Known = Known { hardened: false, takes_mode7: true, has_line: true, is_own: false };

    fn packet(source: [u8; 4], mode: u8) -> Packet {
        let frame = frame::build(source.into(), 40_000, &frame::usual(mode, None)).unwrap();
        Packet::of(&frame).unwrap()
    }

    #[test]
    fn sentences_are_about_this_packet() {
        let monlist = packet([192, 0, 2, 1], 7);
        let said = sentence(Reason::Mode7, Some(&monlist), &KNOWN);
        assert_eq!(
            said,
            "the daemon answers queries of mode 7 from nobody, so this monlist request (mode 7) is dropped whoever sent it"
        );
        let nobody = Known { takes_mode7: false, ..KNOWN };
        assert!(sentence(Reason::Mode7, Some(&monlist), &nobody).starts_with("this daemon takes no mode 7"));
        let own = Known { is_own: true, ..KNOWN };
        let said = sentence(Reason::Mode6, Some(&packet([127, 0, 0, 1], 6)), &own);
        assert!(said.ends_with("127.0.0.1 is a loopback address, which is an impossible source on a wire, whatever line names it"), "{said}");
    }

    /// No reason falls back to its row of the table, whose words have to fit several kinds of packets.
    #[test]
    fn every_reason_has_a_sentence_of_its_own() {
        let packet = packet([192, 0, 2, 1], 3);
        for reason in Reason::ALL {
            let said = sentence(*reason, Some(&packet), &KNOWN);
            assert_ne!(said, reason.summary(), "{}", reason.name());
        }
    }
}
