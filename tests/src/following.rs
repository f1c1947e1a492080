//! The state of a filter that `ntpguard run` looks after: its policy, and what it drops.

use crate::{
    client::Wire,
    frame::{Frame, payload},
    home::Home,
    netns::Lab,
};
use std::{
    thread,
    time::{Duration, Instant},
};

/// Time limit for what happens by itself: much longer than it takes, since the machine may be busy.
const LINE_TIMEOUT: Duration = Duration::from_secs(120);

/// Sends time requests from an address over the lab's wire.
///
/// # Panics
/// There is no wire.
pub fn asks(lab: &Lab, source: &str, count: u64) {
    let wire = Wire::open(&lab.outside).unwrap();
    let frame = Frame::from(source, 40000).payload(&payload::time(3, 4)).build();
    (0..count).for_each(|_| wire.send(&frame).unwrap());
}

/// The number of the policy in force.
///
/// # Panics
/// There is none.
pub fn policy(home: &Home<'_>) -> u64 {
    home.status().unwrap()["policy"]["number"].as_u64().unwrap()
}

/// Waits for a policy other than the one with this number.
///
/// # Panics
/// No other policy comes.
pub fn changed(home: &Home<'_>, before: u64) -> u64 {
    let mut now = before;
    wait_for("another policy", || {
        now = policy(home);
        now != before
    });
    now
}

/// The number of packets dropped.
///
/// # Panics
/// Nothing is guarded.
pub fn dropped(home: &Home<'_>) -> u64 {
    home.status().unwrap()["dropped"].as_u64().unwrap()
}

/// Waits until a condition holds.
///
/// # Panics
/// The condition doesn't hold in time.
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LINE_TIMEOUT, "{what}: not within {} s", LINE_TIMEOUT.as_secs());
        thread::sleep(Duration::from_millis(50));
    }
}
