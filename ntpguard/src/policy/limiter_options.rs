//! The options of the limiter, the kisses and the ceiling.

use crate::policy::limiter::Bounds;
use serde::{Deserialize, Serialize};

/// How much is too much.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Limiting {
    /// How many sources are remembered at once.
    pub sources: u32,
    /// Sources are told apart by so many bits of an IPv4 address: 32, as the daemon does, or less.
    pub prefix_v4: u8,
    /// And of an IPv6 address: 128, or less.
    pub prefix_v6: u8,
    /// Who sends the kisses-o'-death of `limited kod`.
    pub kod: Kod,
    /// Kisses a second, at most, that ntpguard sends itself.
    pub kod_rate: u32,
    /// Time requests a second for the daemon, at most.
    pub max_rate: Option<u32>,
}

impl Limiting {
    /// What the options come to; `transmits`: what ntpguard is attached to can send.
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
    /// ntpguard, where what it is attached to can send; else the daemon.
    #[default]
    Auto,
    /// ntpguard.
    Xdp,
    /// The daemon: whatever earns a kiss passes.
    Daemon,
}
