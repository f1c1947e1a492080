//! Configuration files, each format in a room of its own, and what is to be said of them.

pub mod diagnostic;
pub mod locate;
pub mod ntp;
pub mod options;
pub mod place;
