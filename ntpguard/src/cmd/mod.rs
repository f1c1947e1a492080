//! The verbs, one a file.

pub mod attach;
pub mod capture;
pub mod check;
pub mod detach;
pub mod doctor;
pub mod enforce;
pub mod events;
pub mod explain;
mod feed;
mod guarded;
mod metrics;
mod names;
pub mod reload;
pub mod replay;
pub mod run;
pub mod stats;
pub mod status;
mod watch;
