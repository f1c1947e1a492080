//! The command line, as types.

use crate::{
    bpf::Mode,
    compile::{Hardening, Queries},
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{path::PathBuf, time::Duration};

/// An XDP filter in front of an unmodified ntpd: drops NTP queries (mode 6 and 7, monlist) and enforces the
/// restrict lines of ntp.conf before a packet reaches the stack, and counts every drop.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Stand in front of the daemon and show what is dropped, until SIGINT or SIGTERM.
    Run(Run),
}

/// The options of `run`.
#[derive(Args, Debug)]
pub struct Run {
    /// The network interface to guard; may be given more than once.
    #[arg(long, required = true, value_name = "IF")]
    pub interface: Vec<String>,

    /// The daemon's configuration [default: /etc/ntpsec/ntp.conf or /etc/ntp.conf, whichever exists].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Where the program runs: in the driver, in the stack, or the best there is.
    #[arg(long, value_enum, default_value_t)]
    pub xdp_mode: Mode,

    /// Who may send queries (mode 6 and 7): sources that a restrict line other than default lets query, or
    /// whoever the daemon itself would answer.
    #[arg(long, value_enum, default_value_t)]
    pub queries: Queries,

    /// Only the daemon's own reading: nothing is dropped that it would have taken. Implies `--queries restrict`.
    #[arg(long, conflicts_with = "queries")]
    pub no_hardening: bool,

    /// A readable line or one JSON object a line.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,

    /// Time between two lines of counters: 500ms, 1s, 5m.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub interval: Duration,

    /// Log every packet to port 123 with its verdict to standard error: for debugging, not for floods.
    #[arg(long)]
    pub trace: bool,
}

impl Run {
    /// What the options ask for beyond the daemon's reading.
    pub fn hardening(&self) -> Hardening {
        if self.no_hardening { Hardening::NONE } else { Hardening { queries: self.queries, packets: true } }
    }
}

/// How to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one object a line.
    Json,
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u32 = number.parse().map_err(|_| "a number and a unit, as in 500ms, 1s or 5m".to_owned())?;
    let unit = match unit {
        "ms" => Duration::from_millis(1),
        "s" | "" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        _ => return Err(format!("`{unit}` is no unit: ms, s or m")),
    };
    match unit * number {
        Duration::ZERO => Err("must be more than nothing".to_owned()),
        duration => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn durations() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        for wrong in ["", "s", "1h", "0s", "99999999999s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
