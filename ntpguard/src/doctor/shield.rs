//! What the filter does with a query from outside, by the policy in force and the interfaces that have it.

use crate::{
    bpf::{Enforced, Pins},
    simulate::frame,
};
use anyhow::Result;
use ntpguard_common::{Action, Lookup as _, abi::PolicyWord, decide};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

/// How many sources of each family stand for all sources that no line names; they lie far apart.
const SOURCES: u8 = 24;
/// A client's ephemeral source port, and port 123, which rules may treat differently (`ntpport`).
const PORTS: [u16; 2] = [40_000, 123];

/// The filter as outside sources meet it.
#[derive(Default)]
pub(super) struct Shield {
    /// Interfaces that have the filter.
    pub(super) guarded: Vec<String>,
    /// Interfaces that have the filter, or should have it, but on which it doesn't run.
    pub(super) silent: Vec<String>,
    /// Unguarded interfaces by which other hosts reach this host.
    pub(super) bare: Vec<String>,
    policy: Option<Result<Enforced>>,
}

/// What a query meets before the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// No filter is attached anywhere.
    Nothing,
    /// It is dropped on every interface that leads outside.
    Dropped,
    /// It reaches the daemon: the reason, and the fix.
    Passed(String, String),
    /// The policy can't be read; the reason.
    Unknown(String),
}

impl Shield {
    /// Reads the policy in force, if a filter is attached.
    pub(super) fn read(&mut self, pin_path: &Path) {
        if self.guarded.is_empty() {
            return;
        }
        let read = Pins::seen(pin_path).transpose().map(|place| Enforced::read(&place?));
        self.policy = read;
    }

    /// What happens to a query with this payload from sources outside.
    pub(super) fn meets(&self, payload: &[u8], is_v6: bool) -> Met {
        if self.guarded.is_empty() {
            return Met::Nothing;
        }
        if !self.silent.is_empty() {
            let where_ = self.silent.join(", ");
            return Met::Passed(format!("the filter doesn't run on {where_}"), "see `running`".to_owned());
        }
        if !self.bare.is_empty() {
            let (names, verb) = (self.bare.join(", "), if self.bare.len() == 1 { "isn't" } else { "aren't" });
            return Met::Passed(format!("{names} {verb} guarded"), "see `running`".to_owned());
        }
        let policy = match &self.policy {
            Some(Ok(policy)) => policy,
            Some(Err(error)) => return Met::Unknown(format!("{error:#}")),
            None => return Met::Unknown("no policy is pinned".to_owned()),
        };
        let drops = |source| {
            PORTS.iter().all(|port| {
                frame::build(source, *port, payload)
                    .is_ok_and(|frame| decide(frame.as_slice(), policy).action() == Action::Drop)
            })
        };
        if !sources(is_v6).all(drops) {
            let fix = "noquery on the lines `restrict default` of ntp.conf (`ntpguard check` names them)";
            return Met::Passed("the policy in force lets everybody ask".to_owned(), fix.to_owned());
        }
        if policy.word().has(PolicyWord::TRIAL) {
            return Met::Passed("a trial drops nothing".to_owned(), "ntpguard enforce".to_owned());
        }
        Met::Dropped
    }

    /// Whether the policy in force has a line `restrict source`; `None` if none is in force, or it can't be read.
    pub(super) fn has_source(&self) -> Option<bool> {
        Some(self.policy.as_ref()?.as_ref().ok()?.has_source())
    }

    /// The guarded interfaces, as text.
    pub(super) fn places(&self) -> String {
        self.guarded.join(", ")
    }
}

/// Sample sources that any host on the Internet could have. Nothing is sent to or from them.
fn sources(is_v6: bool) -> impl Iterator<Item = IpAddr> {
    (0..SOURCES).map(move |number| {
        // The multipliers are odd, so all octets differ from source to source.
        let octet = |factor: u8| number.wrapping_mul(factor).wrapping_add(factor);
        if is_v6 {
            // Within 2000::/3, the allocated global unicast space (RFC 4291 §2.5.4).
            let first = 0x2000 | u16::from(octet(7)) << 4;
            let low = u16::from_be_bytes([octet(91), octet(59)]);
            IpAddr::V6(Ipv6Addr::new(first, low, 0, 0, 0, 0, 0, low | 1))
        } else {
            // First octets from 11 to 126: none of these is private, loopback or multicast.
            IpAddr::V4(Ipv4Addr::new(11 + number * 5, octet(91), octet(59), octet(37) | 1))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ntpguard_common::Source;

    #[test]
    fn sources_are_outside_and_differ() {
        for is_v6 in [false, true] {
            let all: std::collections::HashSet<_> = sources(is_v6).collect();
            assert_eq!(all.len(), usize::from(SOURCES));
            for source in all {
                let (impossible, private) = match source {
                    IpAddr::V4(v4) => {
                        (Source::of_v4(v4.octets()).is_impossible(), v4.is_private() || v4.is_link_local())
                    }
                    IpAddr::V6(v6) => {
                        (Source::of_v6(v6.octets()).is_impossible(), v6.is_unicast_link_local())
                    }
                };
                assert!(!impossible && !private, "{source}");
            }
        }
    }

    #[test]
    fn where_the_filter_is_not_a_query_passes() {
        let mut shield = Shield::default();
        let met = |shield: &Shield| shield.meets(&frame::usual(7, Some(42)), false);
        assert_eq!(met(&shield), Met::Nothing);
        shield.guarded.push("eth0".to_owned());
        assert!(matches!(met(&shield), Met::Unknown(_)));
        shield.bare.push("eth1".to_owned());
        assert!(matches!(met(&shield), Met::Passed(why, _) if why == "eth1 isn't guarded"));
        shield.silent.push("eth0".to_owned());
        assert!(matches!(met(&shield), Met::Passed(why, _) if why == "the filter doesn't run on eth0"));
    }
}
