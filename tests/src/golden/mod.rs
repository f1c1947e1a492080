//! Golden packets: named frames, each with the configuration that it meets and the expected treatment.
//!
//! The expectations are written by hand from the RFCs, the daemons' manuals and the kernel's sources; none is derived from
//! the code under test.

mod case;
mod path;
mod payload;
mod policy;

pub use case::{Expect, Golden};

/// All golden packets.
pub fn cases() -> Vec<Golden> {
    [payload::cases(), policy::cases(), path::cases()].concat()
}
