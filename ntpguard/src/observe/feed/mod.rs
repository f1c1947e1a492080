//! The feed of drops: which process reads them from the ring buffer, and how others get them.
//!
//! A ring has one reader. So one process, the [`Hub`], reads it, replaces numbers by names, remembers which sources were
//! dropped, and sends all that to whoever asks over a Unix socket in the state folder. The hub is `ntpguard run`; if none
//! runs, it is the first command that asks, as long as that runs.
//!
//! Contract: nothing is sampled while there is no hub. No follower, however slow, blocks the hub: what it doesn't read in
//! time is lost to it, and it is told how much.

mod clients;
mod follower;
mod hub;
mod memory;
mod pace;
mod unbound;
mod words;

pub use follower::{Follower, ask};
pub use hub::{Hub, Losses};
pub use unbound::Unbound;

use crate::observe::{estimate::Estimate, event::Event, history::Summary, sketch::Heavy};
use serde::{Deserialize, Serialize};
use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

/// The default for the maximum number of events a second.
pub const RATE: u32 = 1000;
/// The largest value allowed for it: a batch of 100 ms at full length fits the ring.
pub const MOST: u32 = 4000;

/// What a follower asks for, in the first line that it writes.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Events as they arrive, with the first bytes of each frame.
    Events {
        /// How many bytes; 0 for none.
        snaplen: u32,
    },
    /// The last events, which are remembered without their frames.
    Recent,
    /// The sources with most drops.
    Sources {
        /// How many sources.
        most: usize,
    },
    /// The sources named in queries that were dropped.
    History {
        /// How many seconds back from now.
        seconds: u64,
    },
}

/// The sources with most drops since the hub began.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct DroppedSources {
    /// When the hub began, in seconds since 1970.
    pub since: u64,
    /// All drops that events stand for, including those with a hidden source.
    pub total: Estimate,
    /// The sources, those with most drops first.
    pub most: Vec<Heavy<IpAddr>>,
    /// The same for packets that passed in trials and would have been dropped, if there were any.
    #[serde(default)]
    pub trial: Option<Box<Self>>,
}

/// What the hub sends, one line each.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Events from now on will be sent.
    Ready,
    /// A drop.
    Event(Event),
    /// The last events, oldest first.
    Recent(Vec<Event>),
    /// The sources with most drops.
    Sources(DroppedSources),
    /// The sources named in queries.
    History(Summary),
    /// This number of events was lost because the follower was too slow.
    Lost(u64),
    /// The request is refused, with the reason.
    Refused(String),
}

/// The path of the hub's socket.
fn socket(folder: &Path) -> PathBuf {
    folder.join("events.sock")
}
