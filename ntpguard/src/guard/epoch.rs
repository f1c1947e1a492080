//! The epoch, by which associations end: [`ntpguard_common::abi::Learning`].

use crate::{bpf::associations::Associations, host::clock};
use std::time::Instant;

/// The epoch, as this process advances it.
pub(super) struct Epoch {
    associations: Associations,
    /// The epoch at the start of this process.
    start: u64,
    since: Instant,
}

impl Epoch {
    /// Goes on from the epoch at which the last process left it: it stood still meanwhile.
    pub(super) fn new(associations: Associations) -> Self {
        let start = associations.learning().map_or(0, |learning| learning.epoch.get());
        Self { associations, start, since: Instant::now() }
    }

    /// Advances it to the present. `follows`: this process follows changes of this host's addresses.
    pub(super) fn advance(&self, follows: bool) {
        let Some(learning) = self.associations.learning() else { return };
        learning.epoch.set(self.start + self.since.elapsed().as_secs());
        if follows {
            learning.followed.set(clock::monotonic());
        }
    }
}
