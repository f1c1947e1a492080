//! The options of `check` and `doctor`, which say whether a file and a host are as they should be.

use super::{Hardened, Interfaces, Reading};
use crate::export::Format;
use clap::Args;
use std::path::PathBuf;

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
