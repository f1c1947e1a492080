//! The options for the limiter, kisses and the ceiling.

use crate::policy::limiter::Bounds;
use serde::{Deserialize, Serialize};

/// The limits on sources, kisses and requests.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Limiting {
    /// The number of sources that are remembered at once.
    pub sources: u32,
    /// Number of leading bits of an IPv4 address that distinguish sources: 32, as in the daemon, or less.
    pub prefix_v4: u8,
    /// Number of leading bits of an IPv6 address that distinguish sources: 128, as in the daemon, or less.
    pub prefix_v6: u8,
    /// Who sends the kisses-o'-death of `limited kod`.
    pub kod: Kod,
    /// Kisses that ntpguard sends a second at most.
    pub kod_rate: u32,
    /// Time requests that reach the daemon a second at most; `None` for no limit.
    pub max_rate: Option<u32>,
}

impl Limiting {
    /// The bounds that the options result in; `transmits` is whether the interface that ntpguard is attached to can
    /// send.
    pub fn bounds(&self, transmits: bool) -> Bounds {
        let kisses = match self.kod {
            Kod::Auto => transmits,
            Kod::Xdp => true,
            Kod::Daemon => false,
        };
        let Self { prefix_v4, prefix_v6, max_rate, kod_rate, .. } = *self;
        Bounds { max_rate, kisses: kisses.then_some(kod_rate), prefix_v4, prefix_v6 }
    }
}

/// Who sends kisses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kod {
    /// ntpguard, if the interface that it is attached to can send; otherwise the daemon.
    #[default]
    Auto,
    /// ntpguard.
    Xdp,
    /// The daemon: packets that earn a kiss pass.
    Daemon,
}
