//! What is dropped beyond the daemon's own reading.

use super::hardening::{Harden, Hardening, Queries};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

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
