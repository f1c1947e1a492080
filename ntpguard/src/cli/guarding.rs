//! The options of a guard: what `run` and `attach` take, and `reload` goes on with.

use super::{Hardened, Kod, Limiting, Reading, duration};
use crate::bpf::{Hook, Mode};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// What is guarded, and by which rules.
#[derive(Args, Clone, Debug, Deserialize, Serialize)]
pub struct Guarding {
    /// The network interface to guard; may be given more than once.
    #[arg(long, required = true, value_name = "IF")]
    pub interface: Vec<String>,

    /// The daemon's configuration [default: /etc/ntpsec/ntp.conf or /etc/ntp.conf, whichever exists].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// How the file is read.
    #[command(flatten)]
    pub reading: Reading,

    /// Where the program stands: on the interface, or behind it where XDP is taken or not to be had (Linux 6.6).
    #[arg(long, value_enum, default_value_t)]
    // State that an earlier version wrote has none.
    #[serde(default)]
    pub hook: Hook,

    /// Where the XDP program runs: in the driver, in the stack, or the best there is.
    #[arg(long, value_enum, default_value_t)]
    pub xdp_mode: Mode,

    /// Take an XDP program of somebody else off the interface.
    #[arg(long)]
    #[serde(default)]
    pub replace: bool,

    /// What is dropped beyond the daemon's reading.
    #[command(flatten)]
    pub hardened: Hardened,

    /// How much is too much.
    #[command(flatten)]
    pub limiting: Limiting,

    /// Count what would be dropped, and let everything pass; `ntpguard enforce` ends the trial.
    #[arg(long)]
    pub monitor: bool,

    /// Even if the file's own servers are cut off.
    #[arg(long)]
    pub yes: bool,

    /// A group that may see what is counted and who is dropped (`ntpguard stats`, `top`, `events`) and do nothing else, by its
    /// name or number.
    #[arg(long, value_name = "GROUP")]
    #[serde(default)]
    pub group: Option<String>,

    /// How often the names in the file are looked up again.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    pub names_interval: Duration,
}

impl Guarding {
    /// Which of these options contradict each other.
    pub(super) fn contradiction(&self) -> Option<&'static str> {
        let tc = self.hook == Hook::Tc;
        if tc && self.replace {
            Some("--hook tc stands beside other programs: there is nothing to --replace")
        } else if tc && self.xdp_mode != Mode::Auto {
            Some("--xdp-mode is XDP's, and with --hook tc there is none")
        } else if tc && self.limiting.kod == Kod::Xdp {
            Some("--hook tc can't send kisses: leave --kod to the daemon")
        } else {
            None
        }
    }
}

/// Where a guard is found again.
#[derive(Args, Clone, Debug)]
pub struct Places {
    /// Where the filter is pinned: a folder in a BPF file system.
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf/ntpguard")]
    pub pin_path: PathBuf,

    /// Where ntpguard keeps what it knows about the filter.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/ntpguard")]
    pub state_dir: PathBuf,

    /// The file with options that aren't given here [default: /etc/ntpguard/ntpguard.toml, if it is there].
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
}
