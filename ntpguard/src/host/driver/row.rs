//! A row of the table: what one driver, or several that behave alike, do with native XDP.

use super::{
    effect::{Also, Clock, Offload, Stop, Stops, Timestamps},
    refusal::{Leak, Longer, Loss, Mtu, Never, Raised, Refusal},
};
use crate::host::release::{ByRelease, Release};

/// A driver, or several that behave alike.
#[derive(Clone, Copy, Debug)]
pub struct Driver {
    /// Names as the link /sys/class/net/IF/device/driver has them, or kinds of virtual interfaces (`ip -d link`); a `*` in
    /// front stands for any beginning.
    pub names: &'static [&'static str],
    /// The first release with native XDP; `None` if none of those read has it.
    pub native: Option<Release>,
    /// The first release whose native XDP gives programs frames in several buffers; `None` if none of those read does.
    pub frags: Option<Release>,
    /// The longest MTU that native XDP takes.
    pub mtu: ByRelease<Mtu>,
    /// What happens to frames that don't fit into one buffer, if the driver can be brought to receive such.
    pub longer: Longer,
    /// What happens if the MTU is raised over the limit while a program is there.
    pub raised: ByRelease<Raised>,
    /// Why it refuses a program, beside the MTU.
    pub refusals: &'static [Refusal],
    /// What attaching, replacing and detaching stop.
    pub stops: ByRelease<Stops>,
    /// What else is stopped with it.
    pub also: Also,
    /// Whether replacing a program puts the new one to work. Where it doesn't, only detaching and attaching does.
    pub replaceable: bool,
    /// Offloads that it turns off itself when a program is attached.
    pub offloads: &'static [Offload],
    /// Hardware receive timestamps of packets that XDP passes.
    pub timestamps: Timestamps,
    /// The card's own clock, at the first attachment and at the last detachment.
    pub clock: Clock,
    /// When it loses the program while the core goes on showing it.
    pub losses: &'static [Loss],
    /// When it keeps a program loaded that it doesn't run any more.
    pub leaks: Option<Leak>,
    /// How it can take a program and never run it.
    pub never: &'static [Never],
    /// The functions that this was read from, below drivers/net.
    pub source: &'static str,
    /// What else there is to know, a sentence each.
    pub notes: &'static [&'static str],
    /// Statements of this row that no line of the source says outright, a sentence each.
    pub inferred: &'static [&'static str],
}

impl Driver {
    /// What most rows have, and differ from in what they say.
    pub(super) const USUAL: Self = Self {
        names: &[],
        native: Some(Release::OLDEST),
        frags: None,
        mtu: ByRelease::always(Mtu::Unlimited),
        longer: Longer::Refused,
        raised: ByRelease::always(Raised::Unknown),
        refusals: &[],
        stops: ByRelease::always(Stops {
            attach: Stop::Nothing,
            replace: Stop::Nothing,
            detach: Stop::Nothing,
        }),
        also: Also::Nothing,
        replaceable: true,
        offloads: &[],
        timestamps: Timestamps::None,
        clock: Clock::Untouched,
        losses: &[],
        leaks: None,
        never: &[],
        source: "",
        notes: &[],
        inferred: &[],
    };

    /// Whether it has native XDP in a release.
    pub fn is_native(&self, release: Release) -> bool {
        self.native.is_some_and(|since| release >= since)
    }

    /// Whether its native XDP gives programs frames in several buffers in a release.
    pub fn has_frags(&self, release: Release) -> bool {
        self.frags.is_some_and(|since| release >= since)
    }

    /// The longest MTU under native XDP in a release, by a program that takes frames in several buffers or one that
    /// doesn't; `None` if there is no limit.
    pub fn longest(&self, release: Release, frags: bool) -> Option<u32> {
        match self.mtu.at(release) {
            Mtu::Unlimited => None,
            Mtu::Of { several, .. } if frags && self.has_frags(release) => several,
            Mtu::Of { single, .. } => Some(single),
        }
    }

    /// Why it may refuse that user space can't see beforehand, in words.
    pub fn hidden(&self) -> Vec<&'static str> {
        self.refusals.iter().filter(|refusal| !refusal.is_visible()).map(|refusal| refusal.words()).collect()
    }

    /// Whether it may lose a program while it stays attached, so that another instance of the program has to go in its
    /// place.
    pub fn loses(&self) -> bool {
        !self.losses.is_empty()
    }
}
