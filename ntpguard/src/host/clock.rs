//! The kernel's clocks: how long the machine has been suspended, and the time as BPF programs have it.

use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// How far CLOCK_BOOTTIME must have moved ahead of CLOCK_MONOTONIC to count as a suspension.
pub const ASLEEP: Duration = Duration::from_millis(100);

/// The time as bpf_ktime_get_ns() returns it: CLOCK_MONOTONIC, in nanoseconds.
pub fn monotonic() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| Duration::from(time).as_nanos() as u64)
}

/// How long the machine has been suspended since it booted.
pub fn suspended() -> Duration {
    let time = |clock| clock_gettime(clock).map_or(Duration::ZERO, Duration::from);
    time(ClockId::CLOCK_BOOTTIME).saturating_sub(time(ClockId::CLOCK_MONOTONIC))
}
