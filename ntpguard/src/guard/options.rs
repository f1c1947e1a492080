//! The options of a guard: `run` and `attach` get them, and `reload` uses them again.

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
    /// The names of the interfaces.
    pub interface: Vec<String>,
    /// The daemon's configuration file, if one was named.
    pub config: Option<PathBuf>,
    /// The options that say as which daemon the file is read.
    pub reading: Choice,
    /// The hook that the filter is attached to (XDP or tc).
    // The state that an earlier version wrote lacks this field.
    #[serde(default)]
    pub hook: Hook,
    /// Whether the XDP program runs natively or in generic mode.
    pub xdp_mode: Mode,
    /// Whether an XDP program of other software is removed from the interface.
    #[serde(default)]
    pub replace: bool,
    /// What is dropped beyond what the daemon itself drops.
    pub hardened: Hardened,
    /// Rate limits.
    pub limiting: Limiting,
    /// Whether this is a trial: everything passes, and what would be dropped is counted.
    pub monitor: bool,
    /// Whether to go on even if the file's own servers are cut off.
    pub yes: bool,
    /// A group that may read what is counted, by name or number.
    #[serde(default)]
    pub group: Option<String>,
    /// How often names in the file are looked up.
    pub names_interval: Duration,
}

/// Where an installed guard is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The folder in a BPF file system that has the pins.
    pub pin_path: PathBuf,
    /// The folder for the state, which outlives a process.
    pub state_dir: PathBuf,
}
