//! The options of `report`.

use super::{Format, Places, duration};
use clap::Args;
use std::time::Duration;

/// The options of `report`.
#[derive(Args, Debug)]
pub struct Report {
    /// How far to look back, as in 30m, 1h, 1d: a day at most, from the beginning of five minutes on.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    pub since: Duration,

    /// Show so many networks, those with most packets.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub networks: usize,

    /// For people, or one JSON object.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,

    /// Where the filter is.
    #[command(flatten)]
    pub places: Places,
}
