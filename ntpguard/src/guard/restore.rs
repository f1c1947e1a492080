//! Restores the features of network cards that attaching changed.

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

/// How long to wait for the kernel to detach a program, which happens shortly after its last holder has ended.
const DETACH_TIMEOUT: Duration = Duration::from_secs(2);

/// Restores the features of these cards once no XDP program is attached any more, and warns about what the kernel refuses.
pub fn restore(cards: &BTreeMap<u32, Card>) {
    let all = interface::all().unwrap_or_default();
    // The index may belong to another interface by now, in another network namespace or after a reboot.
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
            // The interface is gone, so there is nothing to restore.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => (),
            Err(error) => warn(format_args!("{name}: its features can't be put back: {error}")),
        }
    }
}

/// Waits until an interface has no XDP program. One that is still there after the timeout belongs to other software.
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
