//! Which daemon this host runs: who holds UDP port 123, its release, its command line, and since when it runs.

pub mod choice;
pub mod command_line;
pub mod detect;
pub mod dialect;
pub mod family;
pub mod flags;
pub mod holder;
pub mod profile;
pub mod release;
pub mod socket;
pub mod unit;

pub use command_line::CommandLine;
