//! The options of `report`.

use super::Places;
use crate::{export::Format, host::duration::duration};
use clap::Args;
use std::time::Duration;

/// The options of `report`.
#[derive(Args, Debug)]
pub struct Report {
    /// How far to look back: 30m, 1h, 1d.
    ///
    /// A day at most, and from the beginning of five minutes on.
    #[arg(long, help_heading = "Output", value_name = "TIME", default_value = "1h", value_parser = duration)]
    pub since: Duration,

    /// Show this many networks, those with most packets.
    #[arg(long, help_heading = "Output", value_name = "N", default_value_t = 50)]
    pub networks: usize,

    /// For people, or one JSON object.
    #[arg(long, help_heading = "Output", value_enum, default_value_t)]
    pub format: Format,

    /// Where the filter is.
    #[command(flatten)]
    pub places: Places,
}
