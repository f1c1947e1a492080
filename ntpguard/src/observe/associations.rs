//! The daemon's live associations, and what was counted of them: a reading of the table that the kernel fills.

use crate::{
    bpf::{Maps, associations::Associations},
    policy::network,
};
use anyhow::Result;
use ntpguard_common::{
    abi::Learning,
    associations::{Association, Origin},
};
use std::net::IpAddr;

/// A reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveAssociations {
    /// For how many more seconds any address may be an association's, since not all are known; 0 if all are, and `None`
    /// if that has no end.
    pub open: Option<u64>,
    /// Packets that arrived from a live association.
    pub live: u64,
    /// Packets that arrived from an address of which it wasn't known whether it is an association's.
    pub unknown: u64,
    /// Packets that left and found no place in the table.
    pub full: u64,
    /// The associations, by address.
    pub list: Vec<LiveAssociation>,
}

/// An association. Its times are seconds in which a process looked after the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveAssociation {
    /// The peer's address.
    pub address: IpAddr,
    /// The peer's UDP port.
    pub port: u16,
    /// The poll interval in seconds, if it is known.
    pub poll: Option<u64>,
    /// How many seconds ago the last packet left, or the association became known without one.
    pub last: u64,
    /// In how many seconds it ends, unless another packet leaves.
    pub ends_in: u64,
    /// How it became known.
    pub origin: Origin,
}

impl LiveAssociations {
    /// Takes a reading; `None` if the policy in force has no line `restrict source`.
    ///
    /// # Errors
    /// The kernel refuses to read a map.
    pub fn read(maps: &Maps) -> Result<Option<Self>> {
        if maps.template()?.is_none() {
            return Ok(None);
        }
        let table = maps.look_at_associations()?;
        Ok(table.learning().map(|learning| Self::of(&table, learning)))
    }

    fn of(table: &Associations, learning: &Learning) -> Self {
        let now = learning.epoch.get();
        let mut list: Vec<_> =
            table.live().map(|association| LiveAssociation::of(&association, now)).collect();
        list.sort_unstable_by_key(|association| (association.address, association.port));
        Self {
            open: remaining(learning.open_until.get(), now),
            live: learning.live.get(),
            unknown: learning.unknown.get(),
            full: learning.full.get(),
            list,
        }
    }
}

/// How many seconds it is until an epoch; `None` if it never comes.
fn remaining(until: u64, now: u64) -> Option<u64> {
    (until != u64::MAX).then(|| until.saturating_sub(now))
}

impl LiveAssociation {
    /// `now` is the present epoch.
    fn of(association: &Association, now: u64) -> Self {
        let Association { peer, peer_port: port, poll, last, until, origin, .. } = *association;
        Self {
            address: network::address(&peer),
            port,
            // From ntpd's smallest exponent to RFC 5905's greatest (§7.2); anything else says nothing.
            poll: matches!(poll, 3..=17).then(|| 1 << poll),
            // Entries keep the low 32 bits of the epoch.
            last: (now as u32).wrapping_sub(last).into(),
            ends_in: u64::from(until).saturating_sub(now),
            origin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ntpguard_common::Source;

    #[test]
    fn times_are_relative_to_the_epoch() {
        let association = |poll| Association {
            peer: Source::of_v4([198, 51, 100, 7]),
            peer_port: 4123,
            local: Source::V4(0),
            local_port: 123,
            mode: 3,
            poll,
            last: 90,
            until: 218,
            packets: 2,
            origin: Origin::Departure,
            transmit: [0; 4],
            receive: [0; 4],
        };
        let wanted = LiveAssociation {
            address: [198, 51, 100, 7].into(),
            port: 4123,
            poll: Some(64),
            last: 10,
            ends_in: 118,
            origin: Origin::Departure,
        };
        assert_eq!(LiveAssociation::of(&association(6), 100), wanted);
        for poll in [0, 2, 18, 255] {
            assert_eq!(LiveAssociation::of(&association(poll), 100).poll, None, "{poll}");
        }
        assert_eq!(
            [remaining(100, 100), remaining(99, 100), remaining(130, 100)],
            [Some(0), Some(0), Some(30)]
        );
        assert_eq!(remaining(u64::MAX, 100), None);
    }
}
