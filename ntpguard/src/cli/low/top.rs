//! The options of `top`.

use super::Places;
use crate::host::duration::duration;
use clap::Args;
use std::time::Duration;

/// The options of `top`.
#[derive(Args, Debug)]
pub struct Top {
    /// Time between two readings: 500ms, 1s, 5m.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub interval: Duration,

    /// Draw with ASCII alone, as where the locale isn't UTF-8.
    #[arg(long)]
    pub ascii: bool,

    /// Where the filter is.
    #[command(flatten)]
    pub places: Places,
}
