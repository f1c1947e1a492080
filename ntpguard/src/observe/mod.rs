//! What happened: what the counters say of the filter and of what it meets.

pub mod life;
pub mod pulse;
mod queues;
