//! What ntpguard leaves to the daemon.

use super::Audit;
use crate::{
    conf::diagnostic::Code,
    daemon::{family::Family, flags::Flags},
    policy::{Entry, limiter, network::Net},
};
use ntpguard_common::abi::NonContiguousMask;

impl Audit<'_> {
    pub(super) fn left_to_the_daemon(&mut self) {
        let why = if !limiter::enforced(&self.conf.limiter) {
            Some("its parameters are beyond what ntpguard can do")
        } else if !self.conf.limits {
            Some("with `disable monitor` the daemon may not limit at all")
        } else {
            None
        };
        if let (Some(place), Some(why)) = (self.line_with(Flags::LIMITED), why) {
            self.add(
                Code::LimitedPasses,
                Some(place),
                format!("`limited` is left to the daemon: {why}"),
                None,
            );
        }
        if let Some(place) = self.line_with(Flags::FLAKE) {
            self.add(Code::FlakePasses, Some(place), "`flake` is left to the daemon", None);
        }
        for family in [Family::V4, Family::V6] {
            let gap = |entry: &Entry<'_>| entry.net.family() == family && entry.net.prefix().is_none();
            let lost: Vec<Net> = self
                .policy
                .entries
                .iter()
                .filter(gap)
                .skip(NonContiguousMask::MAX as usize)
                .map(|entry| entry.net)
                .collect();
            if let Some(first) = lost.first() {
                let message = format!(
                    "{} non-contiguous masks more than ntpguard holds ({}), from {first} on: what they drop passes, and what they open stays open",
                    lost.len(),
                    NonContiguousMask::MAX
                );
                self.add(Code::TooManyGaps, None, message, Some("write networks whose masks are prefixes"));
            }
        }
    }
}
