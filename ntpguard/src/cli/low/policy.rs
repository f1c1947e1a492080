//! How ntp.conf is read, and what is dropped beyond that.

use crate::{
    daemon::dialect::{Dialect, Ordering},
    policy::{
        hardening::{Harden, Queries},
        limiter_options::Kod,
    },
};
use clap::{
    Args, ValueEnum as _,
    builder::{PossibleValuesParser, TypedValueParser as _},
};

/// How ntp.conf is read.
#[derive(Args, Debug)]
#[command(next_help_heading = "How ntp.conf is read")]
pub struct Reading {
    /// The daemon that reads the file.
    ///
    /// By default the one that runs or is installed here.
    #[arg(long, value_enum, value_name = "DAEMON")]
    pub dialect: Option<Dialect>,

    /// Where ntp.org's ntpd 4.2.8 puts ntpport lines.
    ///
    /// p17 for releases before 4.2.8p18. By default that of the release found, or p18.
    #[arg(long, value_enum, hide_short_help = true)]
    pub ordering: Option<Ordering>,

    /// The daemon's own command line, after its name.
    ///
    /// It counts as configuration, too (servers, -t, -k, -A, -4, -6): "-g -t 5 192.0.2.1". By default that of the daemon that
    /// runs, or of the service that starts it.
    #[arg(long, hide_short_help = true, value_name = "ARGUMENTS", allow_hyphen_values = true)]
    pub daemon_args: Option<String>,
}

/// What is dropped beyond the daemon's own reading.
#[derive(Args, Debug)]
#[command(next_help_heading = "What is dropped")]
pub struct Hardened {
    /// Who may send queries (mode 6 and 7).
    ///
    /// Sources that a restrict line other than default lets query, or whoever the daemon itself would answer.
    #[arg(long, value_enum, value_name = "WHO", default_value_t)]
    pub queries: Queries,

    /// What else is dropped that the daemon might take.
    ///
    /// All of it, unless some are named.
    #[arg(long, value_enum, hide_short_help = true, value_delimiter = ',', value_name = "KIND,…", default_values_t = Harden::value_variants().to_vec())]
    pub harden: Vec<Harden>,

    /// Drop nothing that the daemon would have taken.
    ///
    /// Only the daemon's own reading counts. Implies `--queries restrict`.
    #[arg(long, conflicts_with_all = ["queries", "harden"])]
    pub no_hardening: bool,
}

/// How much is too much.
#[derive(Args, Debug)]
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
    #[arg(long, hide_short_help = true, value_name = "LENGTH", value_delimiter = ',', value_parser = PossibleValuesParser::new(["24", "56", "64"]).try_map(|length| length.parse::<u8>()))]
    pub aggregate: Vec<u8>,

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
