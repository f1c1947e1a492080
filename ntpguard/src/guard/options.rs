//! The options of a guard: what `run` and `attach` are told, and `reload` goes on with.

use crate::{
    bpf::{Hook, Mode},
    daemon::choice::Choice,
    policy::{hardening_options::Hardened, limiter_options::Limiting},
};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// What is guarded, and by which rules.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Guarding {
    /// The interfaces.
    pub interface: Vec<String>,
    /// The daemon's configuration file, if it is named.
    pub config: Option<PathBuf>,
    /// How the file is read.
    pub reading: Choice,
    /// Where the filter is attached.
    // State that an earlier version wrote has none.
    #[serde(default)]
    pub hook: Hook,
    /// Where the XDP program runs.
    pub xdp_mode: Mode,
    /// A foreign XDP program is taken off the interface.
    #[serde(default)]
    pub replace: bool,
    /// What is dropped beyond the daemon's reading.
    pub hardened: Hardened,
    /// How much is too much.
    pub limiting: Limiting,
    /// Everything passes, and what would be dropped is counted.
    pub monitor: bool,
    /// Even if the file's own servers are cut off.
    pub yes: bool,
    /// A group that may see what is counted, by its name or number.
    #[serde(default)]
    pub group: Option<String>,
    /// How often names in the file are looked up.
    pub names_interval: Duration,
}

/// Where a guard is found again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The folder in a BPF file system in which the filter is pinned.
    pub pin_path: PathBuf,
    /// The folder for what outlives a process.
    pub state_dir: PathBuf,
}
