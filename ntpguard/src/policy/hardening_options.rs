//! The options for hardening.

use super::hardening::{Harden, Hardening, Queries};
use serde::{Deserialize, Serialize};

/// What the user wants dropped in addition to what the daemon's own rules drop.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Hardened {
    /// Which hosts may send queries (modes 6 and 7).
    pub queries: Queries,
    /// The kinds of packets that are dropped even if the daemon might accept them.
    pub harden: Vec<Harden>,
}

impl Hardened {
    /// The hardening that the options result in.
    pub fn hardening(&self) -> Hardening {
        Hardening::new(self.queries, &self.harden)
    }
}
