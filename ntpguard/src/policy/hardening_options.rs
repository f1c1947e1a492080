//! What somebody wants dropped beyond the daemon's own reading.

use super::hardening::{Harden, Hardening, Queries};
use serde::{Deserialize, Serialize};

/// What is dropped beyond the daemon's own reading.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Hardened {
    /// Who may send queries (mode 6 and 7).
    pub queries: Queries,
    /// What else is dropped that the daemon might take.
    pub harden: Vec<Harden>,
}

impl Hardened {
    /// What the options come to.
    pub fn hardening(&self) -> Hardening {
        Hardening::new(self.queries, &self.harden)
    }
}
