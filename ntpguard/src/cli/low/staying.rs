//! The options of verbs for a filter that stays: `detach`, `enforce`, `status`.

use super::{Interfaces, PLAIN, Places};
use crate::{export::Format, host::duration::duration};
use clap::Args;
use std::time::Duration;

/// The options of `detach`.
#[derive(Args, Debug)]
pub struct Detach {
    /// What is given up.
    #[command(flatten)]
    pub interfaces: Interfaces,

    /// Every interface, and what is pinned beside.
    #[arg(long, help_heading = "Which interfaces", conflicts_with_all = ["interface", PLAIN])]
    pub all: bool,

    /// Even while `ntpguard run` looks after the filter.
    #[arg(long, help_heading = "Which interfaces")]
    pub force: bool,

    /// Where the filter is.
    #[command(flatten)]
    pub places: Places,
}

/// The options of `enforce`.
#[derive(Args, Debug)]
pub struct Enforce {
    /// Go back to the trial after this time.
    ///
    /// Unless a second `ntpguard enforce` or the Enter key confirms.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub confirm: Option<Duration>,

    /// Where the filter is.
    #[command(flatten)]
    pub places: Places,
}

/// The options of `status`.
#[derive(Args, Debug)]
pub struct Status {
    /// Where the filter is.
    #[command(flatten)]
    pub places: Places,

    /// For people, or one JSON object.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}
