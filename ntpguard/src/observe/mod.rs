//! What happened: what the counters say about the filter and the packets that it meets.

pub mod associations;
pub mod baseline;
pub mod estimate;
pub mod event;
pub mod event_filter;
pub mod feed;
pub mod history;
pub mod life;
pub mod limited;
pub mod pulse;
mod queues;
pub mod sketch;
pub(crate) mod view;
