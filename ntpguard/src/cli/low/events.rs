//! The options of `events` and `capture`.

use super::{Interfaces, Places};
use crate::{
    export::Format,
    observe::{event_filter::Filter, feed},
};
use clap::Args;
use std::path::PathBuf;

/// What both take.
#[derive(Args, Debug)]
pub struct Drawing {
    /// Only these interfaces.
    #[command(flatten)]
    pub interfaces: Interfaces,

    /// Only events with this.
    ///
    /// The keys are reason, source, port, mode, version, request, interface and line; several values stand after commas, != is
    /// the reverse, and where it is given again, all must hold.
    #[arg(long, help_heading = "Which events", value_name = "KEY=VALUE,…")]
    pub filter: Vec<Filter>,

    /// Events a second, at most.
    ///
    /// Only where no `ntpguard run` draws them, which has an option of its own for it.
    #[arg(long, help_heading = "Which events", value_name = "N", default_value_t = feed::RATE, value_parser = clap::value_parser!(u32).range(1..=feed::MOST as i64))]
    pub event_rate: u32,

    /// Where the filter is.
    #[command(flatten)]
    pub places: Places,
}

/// The options of `events`.
#[derive(Args, Debug)]
pub struct Events {
    /// Show them as they come, until SIGINT.
    ///
    /// Otherwise the last ones are shown that `ntpguard run` remembers.
    #[arg(long, help_heading = "Output", short)]
    pub follow: bool,

    /// This many, and no more.
    #[arg(long, short = 'n', help_heading = "Output", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// A line each, or one JSON object a line.
    #[arg(long, help_heading = "Output", value_enum, default_value_t)]
    pub format: Format,

    /// Which, and from where.
    #[command(flatten)]
    pub drawing: Drawing,
}

/// The options of `capture`.
#[derive(Args, Debug)]
pub struct Capture {
    /// The file to write, in pcapng; - for standard output.
    #[arg(short = 'w', long = "write", help_heading = "Output", value_name = "FILE")]
    pub file: PathBuf,

    /// This many packets; 0 for no limit.
    ///
    /// -c is tcpdump's here, and not --config.
    #[arg(long, short = 'c', help_heading = "Output", value_name = "N", default_value_t = 1000)]
    pub count: u64,

    /// This many bytes of each.
    #[arg(long, short = 's', help_heading = "Output", value_name = "BYTES", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=2048))]
    pub snaplen: u32,

    /// At most this many MiB; 0 for no limit.
    #[arg(long, help_heading = "Output", value_name = "MIB", default_value_t = 16)]
    pub max_size: u64,

    /// Which, and from where.
    #[command(flatten)]
    pub drawing: Drawing,
}

#[cfg(test)]
mod tests {
    use crate::cli::{Cli, Verb};
    use clap::Parser as _;

    #[test]
    fn interfaces_are_short_for_a_filter() {
        for line in ["capture -w - eth0 -i eth1", "capture -w - --filter interface=eth0,eth1"] {
            let line = ["ntpguard"].into_iter().chain(line.split(' '));
            let Verb::Capture(capture) = Cli::parse_from(line).verb().unwrap() else {
                panic!("another verb")
            };
            assert_eq!(capture.drawing.filter, ["interface=eth0,eth1".parse().unwrap()]);
        }
    }
}
