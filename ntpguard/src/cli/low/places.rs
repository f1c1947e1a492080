//! The options that say where the filter is pinned, where its state is kept, and where the settings file is.

use clap::Args;
use std::path::PathBuf;

/// Where a guard is found again.
#[derive(Args, Debug)]
#[command(next_help_heading = "Where it stays")]
pub struct Places {
    /// Where the filter is pinned.
    ///
    /// A folder in a BPF file system.
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf/ntpguard")]
    pub pin_path: PathBuf,

    /// What ntpguard knows about the filter.
    ///
    /// A folder, for what outlives a process: which rules the counters belong to, and by which options the filter was made.
    #[arg(long, hide_short_help = true, value_name = "DIR", default_value = "/var/lib/ntpguard")]
    pub state_dir: PathBuf,

    /// The file with options that aren't given here.
    ///
    /// By default /etc/ntpguard/ntpguard.toml, if it is there; /dev/null for none.
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
}
