//! The feed of drops: who draws them from the ring, and how others get them.
//!
//! A ring has one reader. So one process, the [`Hub`], reads it, puts words to the records, remembers who was dropped, and
//! hands all that to whoever asks over a Unix socket in the folder of the state: `ntpguard run`, or where none runs, the
//! first of the commands that ask, as long as it lasts.
//!
//! Contract: nothing is drawn while there is no hub, and no follower, however slow, holds the hub up: what it doesn't read in
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

/// Events a second, unless it is said.
pub const RATE: u32 = 1000;
/// As many at most: a tenth of it, as large as they get, fits into the ring.
pub const MOST: u32 = 4000;

/// What a follower asks for: the first line that it writes.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Events as they come, with so many bytes of each frame.
    Events {
        /// 0 for none.
        snaplen: u32,
    },
    /// The last events, which are remembered without their frames.
    Recent,
    /// Who was dropped most.
    Sources {
        /// So many of them.
        most: usize,
    },
    /// In whose name queries came that were dropped.
    History {
        /// In so many seconds up to now.
        seconds: u64,
    },
}

/// Who was dropped most, since the hub began.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Sources {
    /// When that was: seconds since 1970.
    pub since: u64,
    /// All drops that events stand for, hidden sources' too.
    pub total: Estimate,
    /// The sources, most first.
    pub most: Vec<Heavy<IpAddr>>,
    /// The same of what passed in trials and would have been dropped, if anything did.
    #[serde(default)]
    pub trial: Option<Box<Self>>,
}

/// What the hub says, a line each.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It listens: what comes from now on is told.
    Ready,
    /// A drop.
    Event(Event),
    /// The last ones, oldest first.
    Recent(Vec<Event>),
    /// Who was dropped most.
    Sources(Sources),
    /// In whose name queries came.
    History(Summary),
    /// So many events were lost, since this follower was too slow.
    Lost(u64),
    /// Why there is nothing to be had.
    Refused(String),
}

/// Where the hub listens.
fn socket(folder: &Path) -> PathBuf {
    folder.join("events.sock")
}
