//! The verbs, one a file.

pub mod check;
pub mod explain;
pub mod replay;
pub mod run;
mod watch;
