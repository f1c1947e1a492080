//! A row of the table: how one driver, or several that behave alike, treat native XDP.

use super::{
    effect::{Also, Clock, Offload, Stop, Stops, Timestamps},
    refusal::{Leak, Longer, Loss, Mtu, Never, Raised, Refusal},
};
use crate::host::release::{ByRelease, Release};

/// A driver, or several that behave alike.
#[derive(Clone, Copy, Debug)]
pub struct Driver {
    /// Names in the link /sys/class/net/IF/device/driver, or kinds of virtual interfaces (`ip -d link`); a leading `*`
    /// matches any prefix.
    pub names: &'static [&'static str],
    /// The first release with native XDP; `None` if neither of those read has it.
    pub native: Option<Release>,
    /// The first release whose native XDP gives programs frames in several buffers; `None` if neither of those read
    /// does.
    pub frags: Option<Release>,
    /// The longest MTU under native XDP.
    pub mtu: ByRelease<Mtu>,
    /// What happens to frames that don't fit into one buffer, if the driver can be set up to receive such frames.
    pub longer: Longer,
    /// What happens if the MTU is raised above the limit while a program is attached.
    pub raised: ByRelease<Raised>,
    /// Why it refuses a program, apart from the MTU.
    pub refusals: &'static [Refusal],
    /// What attaching, replacing and detaching stop.
    pub stops: ByRelease<Stops>,
    /// What they stop in addition to the interface.
    pub also: Also,
    /// Whether replacing a program puts the new one into effect. If not, only detaching and attaching does.
    pub replaceable: bool,
    /// Offloads that it turns off when a program is attached.
    pub offloads: &'static [Offload],
    /// What happens to hardware receive timestamps of packets that XDP passes.
    pub timestamps: Timestamps,
    /// What happens to the card's clock when the first program is attached and the last one detached.
    pub clock: Clock,
    /// When it loses the program while the network core still reports it.
    pub losses: &'static [Loss],
    /// When it keeps a program loaded that it no longer runs.
    pub leaks: Option<Leak>,
    /// Why it may accept a program and never run it.
    pub never: &'static [Never],
    /// The functions that the row was read from, below drivers/net.
    pub source: &'static str,
    /// Further facts, a sentence each.
    pub notes: &'static [&'static str],
    /// Statements of this row that no line of the sources states outright, a sentence each.
    pub inferred: &'static [&'static str],
}

impl Driver {
    /// What most rows share; each row lists only what differs.
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

    /// Whether it has native XDP in this release.
    pub fn is_native(&self, release: Release) -> bool {
        self.native.is_some_and(|since| release >= since)
    }

    /// Whether its native XDP gives programs frames in several buffers in this release.
    pub fn has_frags(&self, release: Release) -> bool {
        self.frags.is_some_and(|since| release >= since)
    }

    /// The longest MTU under native XDP in this release, for a program that does (`frags`) or doesn't take frames in
    /// several buffers; `None` if there is no limit.
    pub fn longest(&self, release: Release, frags: bool) -> Option<u32> {
        match self.mtu.at(release) {
            Mtu::Unlimited => None,
            Mtu::Of { several, .. } if frags && self.has_frags(release) => several,
            Mtu::Of { single, .. } => Some(single),
        }
    }

    /// Reasons for a refusal that user space can't see beforehand, in words.
    pub fn hidden(&self) -> Vec<&'static str> {
        self.refusals.iter().filter(|refusal| !refusal.is_visible()).map(|refusal| refusal.words()).collect()
    }

    /// Whether it may lose a program that stays attached, so that another instance of the program has to replace it.
    pub fn loses(&self) -> bool {
        !self.losses.is_empty()
    }
}
