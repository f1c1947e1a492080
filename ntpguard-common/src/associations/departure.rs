//! A packet that leaves this host, as far as associations depend on it.

use super::template::Template;
use crate::{
    hash::{Seed, hash, mix},
    packet::Packet,
    source::Source,
    wire::{
        Datagram,
        ntp::{self, TIME_HEADER_LEN},
    },
};

/// A time packet that leaves for or from UDP port 123, and isn't an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// Where it goes.
    pub peer: Source,
    /// The UDP port that it goes to, in host byte order.
    pub peer_port: u16,
    /// Where it comes from: an address of this host, or of one for which this host forwards.
    pub local: Source,
    /// The UDP port that it comes from, in host byte order.
    pub local_port: u16,
    /// Leap indicator, version and mode.
    pub first: u8,
    /// The poll exponent.
    pub poll: u8,
    /// The payload's length in bytes.
    pub length: u16,
    /// It refuses a request: a kiss-o'-death (RFC 5905 §7.4), or a crypto-NAK. Daemons send these to anybody.
    pub refuses: bool,
    /// The receive timestamp, which an interleaved reply may have as its origin (RFC 9769).
    pub receive: u64,
    /// The transmit timestamp, which a reply has as its origin.
    pub transmit: u64,
}

/// The header of a time packet (RFC 5905 §7.3), in words of eight bytes.
type Header = [u8; TIME_HEADER_LEN];

/// Kiss codes that ntpd sends to whoever it refuses (ntp_proto.c:fast_xmit).
const KISSES: [[u8; 4]; 3] = [*b"RATE", *b"DENY", *b"RSTR"];

impl Departure {
    /// The least time in seconds that an association lives after a packet has left.
    const LEAST: u64 = 64;
    /// The longest time in seconds.
    const LONGEST: u64 = 1 << 18;
    /// The time in seconds for which replies to a multicast solicitation are awaited (POOL_SOLICIT_WINDOW + 1).
    const SOLICITED: u64 = 9;
    /// The length in bytes of a time packet with a crypto-NAK.
    const NAK: usize = TIME_HEADER_LEN + 4;

    /// Stands for a packet to an association that is known without one. `poll` is 0 if it isn't known.
    pub const fn known(peer: Source, peer_port: u16, poll: u8) -> Self {
        let local = if peer.is_v6() { Source::V6([0, 0]) } else { Source::V4(0) };
        let (first, length, refuses, receive, transmit) = (0, 0, false, 0, 0);
        let local_port = ntp::PORT;
        Self { peer, peer_port, local, local_port, first, poll, length, refuses, receive, transmit }
    }

    /// Whether a packet with this first byte may ask for something. Answers (mode 4) and queries don't: no time packet is
    /// awaited.
    #[inline(always)]
    pub const fn is_awaited(first: u8) -> bool {
        !matches!(first & 7, 4 | 6 | 7)
    }

    /// Reads a packet; `None` if it is no time packet that may ask for something, or a byte of its header lies past the
    /// bytes at hand.
    #[inline(always)]
    pub fn read<P: Packet + ?Sized>(packet: &P, datagram: &Datagram) -> Option<Self> {
        if datagram.length < TIME_HEADER_LEN {
            return None;
        }
        let header = packet.load::<Header>(datagram.payload)?;
        let [first, stratum, poll, ..] = *header;
        if !Self::is_awaited(first) {
            return None;
        }
        let word = |at: usize| {
            let [a, b, c, d, e, f, g, h] =
                [0, 1, 2, 3, 4, 5, 6, 7].map(|byte: usize| header[(at + byte) % TIME_HEADER_LEN]);
            u64::from_be_bytes([a, b, c, d, e, f, g, h])
        };
        let kiss = [header[12], header[13], header[14], header[15]];
        let is_kiss = stratum == 0 && (kiss == KISSES[0] || kiss == KISSES[1] || kiss == KISSES[2]);
        Some(Self {
            peer: datagram.destination(packet)?,
            peer_port: datagram.destination_port(packet)?,
            local: datagram.source(packet)?,
            local_port: datagram.source_port(packet)?,
            first,
            poll,
            length: datagram.length as u16,
            refuses: is_kiss || datagram.length == Self::NAK,
            receive: word(32),
            transmit: word(40),
        })
    }

    /// Whether it opens an association, if the daemon has sent it.
    #[inline(always)]
    pub fn opens(&self, template: Template) -> bool {
        let has_mac = self.length as usize > Self::NAK;
        self.local_port == ntp::PORT
            && !self.refuses
            && template.is_opened_by(self.first, has_mac)
            && !self.is_to_many()
    }

    /// Whether it goes to a multicast group, or to all hosts of a network.
    #[inline(always)]
    const fn is_to_many(&self) -> bool {
        self.peer.is_multicast() || matches!(self.peer, Source::V4(u32::MAX))
    }

    /// For how many seconds its replies are awaited: twice its poll interval, within bounds. `opens`: it opens an
    /// association, which lives the longest time if its poll exponent says nothing.
    #[inline(always)]
    pub const fn life(&self, opens: bool) -> u64 {
        let life = match self.poll {
            // ntpd's smallest and RFC 5905's greatest.
            3..=17 => 2 << self.poll,
            _ if opens => Self::LONGEST,
            _ => Self::LEAST,
        };
        if self.is_to_many() {
            Self::SOLICITED
        } else if life < Self::LEAST {
            Self::LEAST
        } else {
            life
        }
    }

    /// The key under which its addresses and ports are kept; never 0.
    #[inline(always)]
    pub(super) fn key(&self, seed: Seed) -> u64 {
        let [high, low] = self.local.halves();
        let ports = u64::from(self.peer_port) << 16 | u64::from(self.local_port);
        match mix(seed, hash(seed, &self.peer), [high, low, ports]) {
            0 => 1,
            key => key,
        }
    }
}
