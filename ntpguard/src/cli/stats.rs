//! The options of `stats`.

use super::{Format, Places, duration};
use crate::tracked::MOST;
use clap::Args;
use std::time::Duration;

/// The options of `stats`.
#[derive(Args, Debug)]
pub struct Stats {
    /// Again and again, with rates, until SIGINT: so many seconds apart, or as in 500ms, 1s, 5m.
    #[arg(long, value_name = "SECS", num_args = 0..=1, default_missing_value = "1s", value_parser = duration)]
    pub watch: Option<Duration>,

    /// Show drops by line of ntp.conf, too.
    #[arg(long)]
    pub rules: bool,

    /// Show who is remembered, and the sources limited and dropped most, so many of them.
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = MOST_SHOWN)]
    pub sources: Option<usize>,

    /// Count from zero from now on, for this user alone; nobody else's counts change.
    #[arg(long, conflicts_with_all = ["watch", "rules", "sources", "total", "format"])]
    pub reset: bool,

    /// Count since the filter was attached first, whatever `--reset` said.
    #[arg(long)]
    pub total: bool,

    /// For people, or one JSON object (with `--watch` one a line).
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,

    /// Where the filter is.
    #[command(flatten)]
    pub places: Places,
}

/// [`MOST`], as clap wants it.
const MOST_SHOWN: &str = "10";
const _: () = assert!(MOST == 10);
