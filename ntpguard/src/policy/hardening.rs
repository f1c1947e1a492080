//! Hardening: what is dropped in addition to what the daemon's own rules drop.

use ipnet::IpNet;
use ntpguard_common::{Source, abi::PolicyWord};
use serde::{Deserialize, Serialize};

/// Which hosts may query (modes 6 and 7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Queries {
    /// Sources that a restrict line other than `default` names and allows to query: hardening.
    #[default]
    Listed,
    /// Every source that the daemon would answer.
    Restrict,
}

/// A kind of packet that is dropped whichever daemon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Harden {
    /// Packets from impossible source addresses.
    Sources,
    /// Fragments of UDP packets to port 123.
    Fragments,
    /// Responses of modes 6 and 7 that arrive as if they were requests.
    Responses,
    /// Queries that the daemon would answer with an error about their format.
    Malformed,
    /// Packets with more IPv6 extension headers than are followed.
    Extensions,
    /// Packets with more VLAN tags than are followed.
    Tags,
    /// Frames with more datagrams than are examined (`--hook tc`).
    Segments,
}

impl Harden {
    const fn setting(self) -> u32 {
        match self {
            Self::Sources => PolicyWord::HARDEN_SOURCES,
            Self::Fragments => PolicyWord::HARDEN_FRAGMENTS,
            Self::Responses => PolicyWord::HARDEN_RESPONSES,
            Self::Malformed => PolicyWord::HARDEN_FORM,
            Self::Extensions => PolicyWord::HARDEN_EXTENSIONS,
            Self::Tags => PolicyWord::HARDEN_TAGS,
            Self::Segments => PolicyWord::HARDEN_SEGMENTS,
        }
    }
}

/// What is dropped in addition to what the daemon's own rules drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hardening {
    /// Which hosts may query.
    pub queries: Queries,
    /// The kinds of packets that are dropped: bits of [`PolicyWord`].
    pub packets: u32,
}

impl Hardening {
    /// Everything: the default.
    pub const ALL: Self = Self {
        queries: Queries::Listed,
        packets: PolicyWord::HARDEN_SOURCES
            | PolicyWord::HARDEN_FRAGMENTS
            | PolicyWord::HARDEN_RESPONSES
            | PolicyWord::HARDEN_FORM
            | PolicyWord::HARDEN_EXTENSIONS
            | PolicyWord::HARDEN_TAGS
            | PolicyWord::HARDEN_SEGMENTS,
    };
    /// Nothing: the daemon's own rules alone.
    pub const NONE: Self = Self { queries: Queries::Restrict, packets: 0 };

    /// Hardening that drops these kinds of packets.
    pub fn new(queries: Queries, kinds: &[Harden]) -> Self {
        Self { queries, packets: kinds.iter().fold(0, |bits, kind| bits | kind.setting()) }
    }
}

/// Whether no address in the network can be the source of a packet on the wire. IPv4's ranges are aligned to at least
/// eight bits, so for prefixes of eight bits and more the two ends decide; for IPv6 only single hosts are checked.
pub(crate) fn is_impossible(net: &IpNet) -> bool {
    match net {
        IpNet::V4(net) => {
            let ends = [net.network(), net.broadcast()];
            net.prefix_len() >= 8 && ends.iter().all(|end| Source::of_v4(end.octets()).is_impossible())
        }
        IpNet::V6(net) => net.prefix_len() == 128 && Source::of_v6(net.network().octets()).is_impossible(),
    }
}
