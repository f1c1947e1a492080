//! The options of the limiter, the kisses and the ceiling.

use crate::policy::limiter::Bounds;
use clap::Args;
use serde::{Deserialize, Serialize};

/// How much is too much.
#[derive(Args, Clone, Debug, Deserialize, Serialize)]
#[command(next_help_heading = "Limits")]
pub struct Limiting {
    /// How many sources are remembered at once.
    ///
    /// In 16 bytes each; others pass unlimited.
    #[arg(long, value_name = "N", default_value_t = 1 << 18, value_parser = clap::value_parser!(u32).range(1..=1 << 28))]
    pub sources: u32,

    /// Limit networks instead of addresses.
    ///
    /// 24 for IPv4, 56 or 64 for IPv6; with a comma both. The daemon itself limits addresses.
    #[arg(long, hide_short_help = true, value_name = "LENGTH", value_delimiter = ',', value_parser = ["24", "56", "64"])]
    pub aggregate: Vec<String>,

    /// Who sends the kisses-o'-death of `limited kod`.
    #[arg(long, hide_short_help = true, value_enum, value_name = "WHO", default_value_t)]
    pub kod: Kod,

    /// Kisses a second, at most.
    ///
    /// Those that ntpguard sends itself.
    #[arg(long, hide_short_help = true, value_name = "N", default_value_t = 100)]
    pub kod_rate: u32,

    /// Time requests a second for the daemon, at most.
    ///
    /// Above that, sources heard before come first, and the rest is drawn by lot. By default there is no limit.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 28))]
    pub max_rate: Option<u32>,
}

impl Limiting {
    /// What the options come to; `transmits`: what ntpguard is attached to can send.
    pub fn bounds(&self, transmits: bool) -> Bounds {
        let length = |lengths: [&str; 2], else_length| {
            let chosen = self.aggregate.iter().rev().find(|chosen| lengths.contains(&chosen.as_str()));
            chosen.and_then(|chosen| chosen.parse().ok()).unwrap_or(else_length)
        };
        let kisses = match self.kod {
            Kod::Auto => transmits,
            Kod::Xdp => true,
            Kod::Daemon => false,
        };
        Bounds {
            max_rate: self.max_rate,
            kisses: kisses.then_some(self.kod_rate),
            prefix_v4: length(["24", "24"], 32),
            prefix_v6: length(["56", "64"], 128),
        }
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
