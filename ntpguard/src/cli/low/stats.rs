//! The options of `stats`.

use super::{Interfaces, Places};
use crate::{export::Format, host::duration::duration, observe::limited::MOST};
use clap::Args;
use std::time::Duration;

/// The options of `stats`.
#[derive(Args, Debug)]
pub struct Stats {
    /// What is shown.
    #[command(flatten)]
    pub interfaces: Interfaces,

    /// Again and again, with rates, until SIGINT.
    ///
    /// This long apart: 500ms, 1s, 5m. An interface stands before it: `ntpguard stats eth0 --watch`.
    #[arg(long, help_heading = "Output", value_name = "TIME", num_args = 0..=1, default_missing_value = "1s", value_parser = duration)]
    pub watch: Option<Duration>,

    /// Show drops by line of ntp.conf, too.
    ///
    /// These are counted for all interfaces together.
    #[arg(long, help_heading = "Output")]
    pub rules: bool,

    /// Show the sources limited and dropped most.
    ///
    /// This many of them, and how many are remembered. They are counted for all interfaces together.
    #[arg(long, help_heading = "Output", value_name = "N", num_args = 0..=1, default_missing_value = MOST_SHOWN)]
    pub sources: Option<usize>,

    /// Count from zero from now on, for this user alone.
    ///
    /// Nobody else's counts change.
    #[arg(long, help_heading = "Output", conflicts_with_all = ["watch", "rules", "sources", "total", "format", "interface", "plain"])]
    pub reset: bool,

    /// Count since the filter was attached first.
    ///
    /// Whatever `--reset` said.
    #[arg(long, help_heading = "Output")]
    pub total: bool,

    /// For people, or one JSON object (with `--watch` one a line).
    #[arg(long, help_heading = "Output", value_enum, default_value_t)]
    pub format: Format,

    /// Where the filter is.
    #[command(flatten)]
    pub places: Places,
}

/// [`MOST`] as text, which clap needs for a default value.
const MOST_SHOWN: &str = "10";
const _: () = assert!(MOST == 10);
