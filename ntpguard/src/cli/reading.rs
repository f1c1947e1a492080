//! How ntp.conf is read, and what is dropped beyond it.

use crate::{
    compile::{Harden, Hardening, Queries},
    daemon::dialect::{Dialect, Ordering},
};
use clap::{Args, ValueEnum};
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

/// What is dropped beyond the daemon's own reading.
#[derive(Args, Clone, Debug, Deserialize, Serialize)]
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

impl Hardened {
    /// What the options come to.
    pub fn hardening(&self) -> Hardening {
        if self.no_hardening { Hardening::NONE } else { Hardening::new(self.queries, &self.harden) }
    }
}
