//! How the daemon's files are read.

use crate::daemon::dialect::{Dialect, Ordering};
use serde::{Deserialize, Serialize};

/// How ntp.conf is read, as far as somebody says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Reading {
    /// The daemon that reads the file; otherwise the one that runs or is installed here.
    pub dialect: Option<Dialect>,
    /// Where ntp.org's ntpd 4.2.8 puts `ntpport` entries; otherwise as the release does that is found, or the latest.
    pub ordering: Option<Ordering>,
    /// The daemon's own command line, after its name; otherwise that of the daemon found.
    // State that an earlier version wrote has none.
    #[serde(default)]
    pub daemon_args: Option<String>,
}
