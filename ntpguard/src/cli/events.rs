//! The options of `events` and `capture`.

use super::{Format, Places};
use crate::{feed, filter::Filter};
use clap::Args;
use std::path::PathBuf;

/// What both take.
#[derive(Args, Debug)]
pub struct Drawing {
    /// Only these: reason=, source=, port=, mode=, version=, request=, interface= or line=, with several values after commas,
    /// != for the reverse; given again, all must hold.
    #[arg(long, value_name = "KEY=VALUE,…")]
    pub filter: Vec<Filter>,

    /// Events a second at most, where no `ntpguard run` draws them.
    #[arg(long, value_name = "N", default_value_t = feed::RATE, value_parser = clap::value_parser!(u32).range(1..=feed::MOST as i64))]
    pub event_rate: u32,

    /// Where the filter is.
    #[command(flatten)]
    pub places: Places,
}

/// The options of `events`.
#[derive(Args, Debug)]
pub struct Events {
    /// Show them as they come, until SIGINT; without, the last ones that `ntpguard run` remembers.
    #[arg(long, short)]
    pub follow: bool,

    /// So many, and no more.
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// A line each, or one JSON object a line.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,

    /// Which, and from where.
    #[command(flatten)]
    pub drawing: Drawing,
}

/// The options of `capture`.
#[derive(Args, Debug)]
pub struct Capture {
    /// The file to write, in pcapng; - for standard output.
    #[arg(short = 'w', long = "write", value_name = "FILE")]
    pub file: PathBuf,

    /// So many packets; 0 for no limit.
    #[arg(long, short = 'c', value_name = "N", default_value_t = 1000)]
    pub count: u64,

    /// So many bytes of each.
    #[arg(long, short = 's', value_name = "BYTES", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=2048))]
    pub snaplen: u32,

    /// No more than so many MiB; 0 for no limit.
    #[arg(long, value_name = "MIB", default_value_t = 16)]
    pub max_size: u64,

    /// Which, and from where.
    #[command(flatten)]
    pub drawing: Drawing,
}
