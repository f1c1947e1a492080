//! Golden packets: a named frame, the configuration it meets, and what must become of it.
//!
//! Expectations are written by hand from the RFCs, the daemons' manuals and the kernel's sources; nothing here is
//! derived from the code under test.

mod case;
mod path;
mod payload;
mod policy;

pub use case::{Expect, Golden};

/// All of them.
pub fn cases() -> Vec<Golden> {
    [payload::cases(), policy::cases(), path::cases()].concat()
}
