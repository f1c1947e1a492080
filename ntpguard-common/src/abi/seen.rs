//! Proof of life: how many frames without NTP the filter has seen, by interface and receive queue.
//!
//! All other frames are in the counters of reasons. Together they show whether the driver runs the program at all.

use super::{ROWS, row};
use crate::shared::Shared;

/// The number of receive queues of an interface that are counted separately. Queues whose numbers differ by a multiple
/// of it share a counter.
pub const QUEUES: u32 = 32;

/// The number of entries in `SEEN`.
pub const GATES: u32 = ROWS * QUEUES;

/// The index in `SEEN` for frames of an interface (by its index) and receive queue (by its number).
#[inline(always)]
pub const fn gate(interface: u32, queue: u32) -> u32 {
    row(interface) * QUEUES + queue % QUEUES
}

/// A queue's counter, alone in its cache line because queues are emptied by different CPUs at the same time.
///
/// A queue is emptied by one CPU at a time, which is the counter's only writer, so no atomic addition is needed.
/// Several CPUs may share a counter in generic mode and at tc (RPS), on cards with more than 32 queues, and where
/// interfaces' indexes differ by a multiple of 64. Then an occasional frame isn't counted, and the counter may even go
/// back a little. Readers rely only on whether it has changed.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Seen {
    frames: Shared,
    rest: [Shared; 7],
}

impl Seen {
    /// The number of frames counted.
    pub fn frames(&self) -> u64 {
        self.frames.get()
    }

    /// Counts one more frame.
    #[inline(always)]
    pub fn count(&self) {
        self.frames.set(self.frames.get().wrapping_add(1));
    }
}

const _: () = assert!(size_of::<Seen>() == 64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_queue_has_a_gate() {
        assert_eq!((gate(0, 0), gate(0, QUEUES - 1), gate(1, 0)), (0, QUEUES - 1, QUEUES));
        assert_eq!(gate(2, 5), gate(2 + ROWS, 5 + QUEUES), "counted together");
        assert_eq!(gate(u32::MAX, u32::MAX), GATES - 1);
    }
}
