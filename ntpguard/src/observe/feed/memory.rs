//! What the hub remembers: the last events, the sources with most drops, and the sources named in queries.

use super::{Answer, DroppedSources, Request};
use crate::{
    guard::state,
    host::{access::Readers, log::warn},
    observe::{
        estimate::Estimate,
        event::Event,
        history::{History, SPAN},
        sketch::Sketch,
    },
};
use std::{collections::VecDeque, net::IpAddr, path::PathBuf, time::Duration};

/// How many events are remembered.
const RECENT: usize = 1000;
/// How many sources are remembered: a source with more than a 4096th of all drops is among them.
const SOURCES: usize = 4096;

/// The hub's memory.
pub(super) struct Memory {
    folder: PathBuf,
    readers: Readers,
    recent: VecDeque<Event>,
    since: u64,
    dropped: Named,
    /// Packets that passed in trials and would have been dropped.
    trial: Named,
    history: History,
    /// When the history was saved, in seconds since 1970.
    saved: u64,
    failed: bool,
}

/// Drops by source, from events.
struct Named {
    total: Estimate,
    sources: Sketch<IpAddr>,
}

impl Named {
    fn new() -> Self {
        Self { total: Estimate::default(), sources: Sketch::new(SOURCES) }
    }
}

impl Memory {
    /// A memory that has the history saved in a folder, for these readers.
    pub(super) fn new(folder: PathBuf, readers: Readers) -> Self {
        let now = state::now();
        let history = History::load(&folder).unwrap_or_else(|error| {
            warn(format_args!("{error:#}; the history begins anew"));
            None
        });
        Self {
            folder,
            readers,
            recent: VecDeque::with_capacity(RECENT),
            since: now,
            dropped: Named::new(),
            trial: Named::new(),
            history: history.unwrap_or_else(|| History::new(now)),
            saved: now,
            failed: false,
        }
    }

    /// Remembers an event.
    pub(super) fn add(&mut self, event: Event) {
        let seen = Estimate::from(&event);
        let named = if event.trial { &mut self.trial } else { &mut self.dropped };
        named.total += seen;
        if let Some(source) = event.source {
            named.sources.add(source, seen);
        }
        self.history.add(&event);
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(event);
    }

    /// The answer to a request.
    pub(super) fn answer(&self, request: &Request) -> Answer {
        match request {
            Request::Events { .. } => Answer::Ready,
            Request::Recent => Answer::Recent(self.recent.iter().cloned().collect()),
            Request::Sources { most } => {
                let of = |named: &Named, trial| {
                    let most = named.sources.top(*most);
                    DroppedSources { since: self.since, total: named.total, most, trial }
                };
                let trial = (self.trial.total.samples > 0).then(|| Box::new(of(&self.trial, None)));
                Answer::Sources(of(&self.dropped, trial))
            }
            Request::History { seconds } => {
                Answer::History(self.history.since(Duration::from_secs(*seconds), state::now()))
            }
        }
    }

    /// Saves the history if that is due.
    pub(super) fn keep(&mut self) {
        // A clock that was set back doesn't delay it.
        if state::now().abs_diff(self.saved) >= SPAN {
            self.save();
        }
    }

    /// Saves the history.
    pub(super) fn save(&mut self) {
        self.saved = state::now();
        let saved = self.history.save(&self.folder, self.saved, &self.readers);
        if let Err(error) = saved
            && !std::mem::replace(&mut self.failed, true)
        {
            warn(format_args!("{error:#}; `ntpguard report` knows less after the next start"));
        }
    }
}
