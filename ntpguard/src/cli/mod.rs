//! The command line, as types.

mod events;
mod interfaces;
mod packets;
mod report;
pub mod settings_file;
mod stats;
mod top;
mod values;

use crate::{bpf::Hook, export::Format, host::duration::duration, observe::feed};
pub use crate::{
    conf::options::Reading,
    guard::options::{Guarding, Places},
    policy::{
        hardening_options::Hardened,
        limiter_options::{Kod, Limiting},
    },
};
pub use events::{Capture, Drawing, Events};

pub use interfaces::Interfaces;
pub(crate) use interfaces::PLAIN;
pub(crate) use packets::hex;
pub use packets::{Bytes, Explain, REPEATS, Replay};
pub use report::Report;
pub use stats::Stats;
pub use top::Top;

use clap::{Args, CommandFactory as _, Parser, Subcommand, error::ErrorKind};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// An XDP filter in front of an unmodified ntpd.
///
/// It drops NTP queries (mode 6 and 7, monlist), enforces the restrict lines of ntp.conf before a packet reaches the stack, and
/// counts every drop.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 80)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

impl Cli {
    /// Refuses what clap can't see: options whose values contradict each other.
    ///
    /// # Errors
    /// They do.
    pub fn consistent(self) -> Result<Self, clap::Error> {
        let contradiction = match &self.verb {
            Verb::Run(run) if run.trace && run.guarding.hook == Hook::Tc => Some(
                "--trace is the XDP program's, and --hook tc has none: `explain --running` tells of one packet",
            ),
            Verb::Run(run) => run.guarding.contradiction(),
            Verb::Attach(attach) => attach.guarding.contradiction(),
            _ => None,
        };
        match contradiction {
            Some(words) => Err(Self::command().error(ErrorKind::ArgumentConflict, words)),
            None => Ok(self),
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Guard, and show what is dropped.
    ///
    /// Until SIGINT or SIGTERM; the filter stays, unless `--ephemeral` says otherwise.
    Run(Box<Run>),
    /// Guard, and leave the filter there without a process.
    Attach(Box<Attach>),
    /// Take the filter away.
    ///
    /// Where no interface is named, from the only one that is guarded; which one, is said.
    Detach(Detach),
    /// Read ntp.conf again, and put what it says in force.
    Reload(Places),
    /// End a trial (`--monitor`): drop what the policy refuses.
    Enforce(Enforce),
    /// Begin a trial: everything passes, and is counted.
    Monitor(Places),
    /// Say what is guarded, and by which policy.
    Status(Status),
    /// Show what was counted, by reason, interface, line and source.
    Stats(Stats),
    /// Show drops one by one: a sample of them.
    Events(Events),
    /// Watch in a terminal what is dropped, by which line, and who sends it.
    Top(Top),
    /// Write dropped packets to a file that Wireshark reads.
    Capture(Capture),
    /// Say whose addresses floods of queries came in the name of.
    ///
    /// For the networks that these victims are in.
    Report(Report),
    /// Read an ntp.conf as the daemon does, and say what it really does.
    Check(Check),
    /// Say what becomes of a packet, and which line is to blame.
    Explain(Box<Explain>),
    /// Say what would have been dropped of a capture.
    Replay(Replay),
    /// Put a card's features back when `run --ephemeral` has ended, which starts this itself.
    #[command(hide = true)]
    RestoreFeatures,
    /// Say whether this host is ready: daemon, kernel, interfaces.
    ///
    /// Where no interface is named, Ethernet interfaces are looked at that are hardware, or up with an address by which others
    /// reach them.
    Doctor(Doctor),
}

/// The options of `run`.
#[derive(Args, Debug)]
pub struct Run {
    /// What is guarded, and by which rules.
    #[command(flatten)]
    pub guarding: Guarding,

    /// Where the filter stays.
    #[command(flatten)]
    pub places: Places,

    /// Detach at the end, however it comes.
    ///
    /// Instead of leaving the filter pinned.
    #[arg(long, help_heading = "Where it stays")]
    pub ephemeral: bool,

    /// A readable line or one JSON object a line.
    #[arg(long, help_heading = "Output", value_enum, default_value_t)]
    pub format: Format,

    /// Time between two lines: 500ms, 1s, 5m.
    #[arg(long, help_heading = "Output", value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub interval: Duration,

    /// Show the counters to Prometheus.
    ///
    /// At http://ADDR:PORT/metrics: an address that only those reach who may see them.
    #[arg(long, help_heading = "Output", value_name = "ADDR:PORT", value_parser = listen)]
    pub metrics: Option<SocketAddr>,

    /// Drops a second that become events, at most.
    ///
    /// `ntpguard events`, `top`, `capture` and `report` are made of them; 0 for none.
    #[arg(long, hide_short_help = true, help_heading = "Output", value_name = "N", default_value_t = feed::RATE, value_parser = clap::value_parser!(u32).range(..=feed::MOST as i64))]
    pub event_rate: u32,

    /// Log every packet to port 123 with its verdict.
    ///
    /// To standard error: for debugging, not for floods.
    #[arg(long, hide_short_help = true, help_heading = "Output", requires = "ephemeral")]
    pub trace: bool,

    /// Keep all rights and all files after the start.
    ///
    /// For debugging.
    #[arg(long, hide_short_help = true, help_heading = "Where it stays")]
    pub no_sandbox: bool,
}

/// The options of `attach`.
#[derive(Args, Debug)]
pub struct Attach {
    /// What is guarded, and by which rules.
    #[command(flatten)]
    pub guarding: Guarding,

    /// Where the filter stays.
    #[command(flatten)]
    pub places: Places,
}

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

/// The options of `check`.
#[derive(Args, Debug)]
pub struct Check {
    /// The daemon's configuration file.
    ///
    /// By default that of the daemon that runs here, or /etc/ntpsec/ntp.conf or /etc/ntp.conf, whichever exists.
    pub file: Option<PathBuf>,

    /// How the file is read.
    #[command(flatten)]
    pub reading: Reading,

    /// What is dropped beyond the daemon's reading.
    #[command(flatten)]
    pub hardened: Hardened,

    /// For people, or one JSON object.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,

    /// Exit with 1 on warnings, too.
    #[arg(long)]
    pub deny_warnings: bool,
}

/// The options of `doctor`.
#[derive(Args, Debug)]
pub struct Doctor {
    /// What is looked at.
    #[command(flatten)]
    pub interfaces: Interfaces,

    /// Where the filter is to be pinned.
    ///
    /// A folder in a BPF file system.
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf/ntpguard")]
    pub pin_path: PathBuf,

    /// Exit with 1 on warnings without a failure, too.
    ///
    /// As a gate for configuration management.
    #[arg(long)]
    pub deny_warnings: bool,

    /// For people, or one JSON object.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// An address and a port to listen on; `localhost` is 127.0.0.1, and no other name is looked up.
fn listen(text: &str) -> Result<SocketAddr, String> {
    let address = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let address = address.as_deref().unwrap_or(text);
    address
        .parse()
        .map_err(|_| "an address and a port, as in 127.0.0.1:9123, [::1]:9123 or localhost:9123".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn addresses_to_listen_on() {
        for (text, address) in [
            ("localhost:9123", "127.0.0.1:9123"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:9123", "[::1]:9123"),
        ] {
            assert_eq!(listen(text), Ok(address.parse().unwrap()), "{text}");
        }
        for wrong in ["localhost", "localhost:", "localhost:99999", "9123", ":9123", "example.org:9123"] {
            assert!(listen(wrong).is_err(), "{wrong}");
        }
    }
}
