//! The verbs, one a file.

pub mod attach;
pub mod check;
pub mod detach;
pub mod explain;
mod guarded;
pub mod reload;
pub mod replay;
pub mod run;
pub mod status;
mod watch;
