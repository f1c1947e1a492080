//! Whether a receive queue has lost the program that the others run.
//!
//! Contract: [`judge`] is pure. Packets to port 123 are counted only by interface. So a queue on which nothing else was seen
//! may have received any of those that no other queue accounts for, and is taken for lost only if they aren't enough to
//! explain its frames.

use crate::host::queues::Received;
use ntpguard_common::abi::QUEUES;

/// With fewer frames than this, nothing is concluded.
pub(super) const ENOUGH: u64 = 100;
use std::collections::BTreeMap;

/// The finding about the queues of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Judged {
    /// The queues on which the filter saw too little.
    pub(super) lost: Option<Lost>,
    /// The queues on which it certainly saw something.
    pub(super) heard: Vec<u32>,
    /// Whether nothing was seen on some queues, and too few frames were received to conclude anything.
    pub(super) is_open: bool,
}

/// Queues of which all, or at least one, don't run the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    /// The queues' numbers.
    pub(super) queues: Vec<u32>,
    /// How many frames they have received.
    pub(super) received: u64,
    /// How many of those the filter saw, at most.
    pub(super) seen: u64,
}

/// Judges the queues by how many frames each has received, how many frames without NTP the filter saw on each (and on those
/// that share its counter), and how many packets to port 123 it saw on all queues together.
pub(super) fn judge(received: &Received, passed: impl Fn(u32) -> u64, judged: u64) -> Judged {
    let mut counters: BTreeMap<u32, (Vec<u32>, u64)> = BTreeMap::new();
    for (queue, frames) in received.iter().filter(|(_, frames)| **frames > 0) {
        let (queues, all) = counters.entry(queue % QUEUES).or_default();
        queues.push(*queue);
        *all += frames;
    }
    let (silent, heard): (Vec<_>, Vec<_>) =
        counters.into_values().partition(|(queues, _)| passed(queues[0]) == 0);
    let elsewhere: u64 = heard.iter().map(|(queues, frames)| frames.saturating_sub(passed(queues[0]))).sum();
    let left = judged.saturating_sub(elsewhere);
    let sum = |counters: &[(Vec<u32>, u64)]| counters.iter().map(|(_, frames)| frames).sum::<u64>();
    let total = sum(&silent);
    let lost = (total.saturating_sub(left) >= ENOUGH).then(|| {
        // The queues that received more than all that is left, even if the others received none of it.
        let certain: Vec<_> =
            silent.iter().filter(|(_, frames)| frames.saturating_sub(left) >= ENOUGH).cloned().collect();
        let lost = if certain.is_empty() { &silent } else { &certain };
        let received = sum(lost);
        let queues = lost.iter().flat_map(|(queues, _)| queues).copied().collect();
        Lost { queues, received, seen: left.min(received) }
    });
    let heard = heard.into_iter().flat_map(|(queues, _)| queues).collect();
    Judged { lost, heard, is_open: (1..ENOUGH).contains(&total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The finding for queues given as (number, frames received, frames without NTP seen), with `judged` packets to port 123
    /// on all.
    fn found(queues: &[(u32, u64, u64)], judged: u64) -> Judged {
        let received = queues.iter().map(|(queue, received, _)| (*queue, *received)).collect();
        let passed = |queue: u32| {
            let together = queues.iter().filter(|(other, _, _)| other % QUEUES == queue % QUEUES);
            together.map(|(_, _, passed)| passed).sum()
        };
        judge(&received, passed, judged)
    }

    fn lost(queues: &[(u32, u64, u64)], judged: u64) -> Option<(Vec<u32>, u64, u64)> {
        found(queues, judged).lost.map(|Lost { queues, received, seen }| (queues, received, seen))
    }

    #[test]
    fn a_queue_that_the_filter_sees_nothing_of_is_lost() {
        assert_eq!(lost(&[(0, 500, 500), (1, 100, 0)], 0), Some((vec![1], 100, 0)));
        assert_eq!(lost(&[(0, 500, 500), (1, 99, 0)], 0), None);
        assert_eq!(lost(&[(0, 500, 500), (1, 9000, 1)], 0), None);
        assert_eq!(lost(&[(0, 500, 500), (1, 0, 0)], 0), None);
        assert_eq!(lost(&[(1, 300, 0), (2, 200, 0)], 0), Some((vec![1, 2], 500, 0)));
    }

    #[test]
    fn a_queue_with_ntp_alone_is_none() {
        // A time server: all queues but the first receive only NTP.
        assert_eq!(lost(&[(0, 900, 100), (1, 700, 0), (2, 600, 0)], 800 + 700 + 600), None);
        // Nor is one lost if the driver doesn't count frames dropped by XDP.
        assert_eq!(lost(&[(0, 100, 100), (1, 200, 0)], 5000), None);
        // Half of what these two received isn't accounted for, and either may have lost it.
        let either = lost(&[(0, 900, 100), (1, 700, 0), (2, 600, 0)], 800 + 650);
        assert_eq!(either, Some((vec![1, 2], 1300, 650)));
        // It received more than is left, so it is lost, whatever the other one received.
        assert_eq!(lost(&[(0, 900, 100), (1, 900, 0), (2, 300, 0)], 800 + 300), Some((vec![1], 900, 300)));
    }

    #[test]
    fn queues_that_are_counted_together_are_judged_together() {
        let far = 1 + QUEUES;
        assert_eq!(lost(&[(1, 100, 80), (far, 500, 0)], 0), None);
        assert_eq!(lost(&[(0, 9, 9), (1, 60, 0), (far, 60, 0)], 0), Some((vec![1, far], 120, 0)));
    }

    #[test]
    fn too_few_frames_leave_it_open() {
        let open = |queues: &[_]| found(queues, 0).is_open;
        assert!(open(&[(0, 500, 500), (1, 1, 0)]) && open(&[(1, 99, 0)]));
        assert!(!open(&[(0, 500, 500), (1, 0, 0)]) && !open(&[(0, 500, 500), (1, 100, 0)]));
        assert_eq!(found(&[(0, 500, 500), (1, 1, 0)], 0).heard, [0]);
    }
}
