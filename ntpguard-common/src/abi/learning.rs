//! How learning stands: the value of `LEARNING`.

use crate::shared::Shared;

/// What the program that looks at packets which leave and the loader tell each other, in one cache line.
///
/// The epoch counts seconds in which a process looks after the filter. A process advances it, so that no packet reads a
/// clock. While no process runs, the epoch stands still, and no association ends.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Learning {
    /// The present epoch.
    pub epoch: Shared,
    /// Up to this epoch any address may be an association's: not all associations are known.
    pub open_until: Shared,
    /// When a process last looked whether this host's addresses have changed: CLOCK_MONOTONIC, in nanoseconds.
    pub followed: Shared,
    /// Packets to or from UDP port 123 that left.
    pub left: Shared,
    /// Packets that found no place in the table.
    pub full: Shared,
    /// Packets that arrived from a live association, and were judged by its entry.
    pub live: Shared,
    /// Packets that arrived from an address of which it wasn't known whether it is an association's.
    pub unknown: Shared,
    rest: Shared,
}

const _: () = assert!(size_of::<Learning>() == 64);
