//! Puts back what attaching has changed of network cards.

use crate::{
    guard::state::Card,
    host::{interface, log::warn},
};
use nix::libc;
use std::{
    collections::BTreeMap,
    thread::sleep,
    time::{Duration, Instant},
};

/// How long to wait for the kernel to take a program away, which it does a little after its holder has ended.
const DETACH_TIMEOUT: Duration = Duration::from_secs(2);

/// Puts back the features of these cards, once no program is there any more, and says what the kernel refuses.
pub fn restore(cards: &BTreeMap<u32, Card>) {
    let all = interface::all().unwrap_or_default();
    // An index may be another interface's by now, of another network namespace or after a boot.
    let is_there = |index, card: &Card| all.iter().any(|one| one.index == index && one.name == card.name);
    let altered = cards.iter().filter(|(index, card)| !card.altered.is_nothing() && is_there(**index, card));
    for (index, card) in altered {
        free(*index);
        let name = &card.name;
        match card.altered.restore(*index) {
            Ok(refused) if refused.is_empty() => (),
            Ok(refused) => warn(format_args!(
                "{name}: not as it was before ntpguard was attached, the kernel refuses: {}",
                refused.join(", ")
            )),
            // One that is gone has no features.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => (),
            Err(error) => warn(format_args!("{name}: its features can't be put back: {error}")),
        }
    }
}

/// Waits until an interface has no XDP program; what is there after a while is somebody else's.
fn free(index: u32) {
    let start = Instant::now();
    let is_held = || {
        let all = interface::all().unwrap_or_default();
        all.iter().any(|interface| interface.index == index && interface.xdp.is_some())
    };
    while is_held() && start.elapsed() < DETACH_TIMEOUT {
        sleep(Duration::from_millis(10));
    }
}
