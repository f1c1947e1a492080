//! What is dropped beyond the daemon's own reading.

use ipnet::IpNet;
use ntpguard_common::{Source, abi::PolicyWord};
use serde::{Deserialize, Serialize};

/// Who may query (modes 6 and 7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Queries {
    /// Sources that a restrict line other than `default` names and lets query: hardening.
    #[default]
    Listed,
    /// Whoever the daemon would answer, by its own reading.
    Restrict,
}

/// A kind of packet that is dropped whoever the daemon is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Harden {
    /// Sources that can't be.
    Sources,
    /// Fragments of UDP to port 123.
    Fragments,
    /// Responses of mode 6 and 7 that arrive as requests.
    Responses,
    /// Queries that the daemon would answer with an error about their form.
    Malformed,
    /// More IPv6 extension headers than are followed.
    Extensions,
    /// More VLAN tags than are followed.
    Tags,
    /// More datagrams in one frame than are looked at (`--hook tc`).
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

/// What is dropped beyond the daemon's own reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hardening {
    /// Who may query.
    pub queries: Queries,
    /// Bits of [`PolicyWord`].
    pub packets: u32,
}

impl Hardening {
    /// All of it: the default.
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
    /// None: the daemon's bare reading.
    pub const NONE: Self = Self { queries: Queries::Restrict, packets: 0 };

    /// These kinds of packets.
    pub fn new(queries: Queries, kinds: &[Harden]) -> Self {
        Self { queries, packets: kinds.iter().fold(0, |bits, kind| bits | kind.setting()) }
    }
}

/// Whether no address in the network can be the source of a packet from a wire. IPv4's ranges are aligned to at
/// least eight bits, so within eight bits the two ends tell; of IPv6 only single hosts are asked.
pub(crate) fn is_impossible(net: &IpNet) -> bool {
    match net {
        IpNet::V4(net) => {
            let ends = [net.network(), net.broadcast()];
            net.prefix_len() >= 8 && ends.iter().all(|end| Source::of_v4(end.octets()).is_impossible())
        }
        IpNet::V6(net) => net.prefix_len() == 128 && Source::of_v6(net.network().octets()).is_impossible(),
    }
}
