//! Proof of life: how many frames without NTP the filter has seen, by interface and receive queue.
//!
//! Counters of reasons have the others. Both together tell whether the driver runs the program at all.

use super::{ROWS, row};
use crate::shared::Shared;

/// Receive queues of an interface that are counted apart. Those whose numbers differ by a multiple of this are counted
/// together.
pub const QUEUES: u32 = 32;

/// How many entries `SEEN` has.
pub const GATES: u32 = ROWS * QUEUES;

/// Where in `SEEN` a frame is counted, by the index of its interface and the number of its receive queue.
#[inline(always)]
pub const fn gate(interface: u32, queue: u32) -> u32 {
    row(interface) * QUEUES + queue % QUEUES
}

/// The counter of a queue, alone in its cache line: queues are emptied by different CPUs at the same time.
///
/// A queue is emptied by one CPU at a time, so nobody else counts meanwhile, and no atomic addition is needed. Several CPUs may
/// share a counter in generic mode and at tc (RPS), on cards with more than 32 queues, and where interfaces' indexes differ by a
/// multiple of 64: a frame is lost from the count then, now and again, and a counter may even go back by some. Only whether it has
/// changed is relied on.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Seen {
    frames: Shared,
    rest: [Shared; 7],
}

impl Seen {
    /// How many frames it has counted.
    pub fn frames(&self) -> u64 {
        self.frames.get()
    }

    /// Counts one more frame of this interface and queue.
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
