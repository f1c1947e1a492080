//! The daemon that this host runs: its process, release, command line, behaviour and start time.

pub mod associations;
pub mod choice;
pub mod command_line;
mod control;
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
