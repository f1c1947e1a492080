//! How ntp.conf is read.

use crate::daemon::dialect::{Dialect, Ordering};
use clap::Args;
use serde::{Deserialize, Serialize};

/// How ntp.conf is read.
#[derive(Args, Clone, Debug, Deserialize, Serialize)]
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
    // State that an earlier version wrote has none.
    #[serde(default)]
    pub daemon_args: Option<String>,
}
