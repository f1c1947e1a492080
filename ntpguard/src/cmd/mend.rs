//! Puts the filter back before interfaces whose driver has lost it.
//!
//! Some drivers forget their program when the link goes up, its MTU or its rings change, or the machine resumes, and the
//! kernel's core goes on showing it (`host::driver`, `Loss`). A thread of its own waits for such events, since a reload may
//! keep the main thread busy for seconds. Where the driver doesn't take the filter back, with an MTU over its limit, the main
//! thread is told, which can attach it in the stack instead.

use crate::{
    bpf::{Held, Mode},
    host::{
        clock::{ASLEEP, suspended},
        driver::{Driver, Loss},
        link_events::LinkEvents,
    },
    interface::{self, Interface},
    sandbox,
    service::Service,
    writer::warn,
};
use anyhow::Result;
use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// How often is looked without any event: for what no event tells of, and for the count of what came in.
const LOOK: Duration = Duration::from_secs(1);

/// As many replacements in a row at most: a driver that resets its link at one is seen to change again.
const TRIES: usize = 4;

/// The thread, and what it looks after.
#[derive(Default)]
pub(super) struct Mender {
    watched: Arc<Mutex<Vec<Watched>>>,
    refused: Arc<Refused>,
    runs: bool,
}

/// Interfaces whose driver didn't take the filter back, and why, until the main thread has seen to them.
#[derive(Default)]
struct Refused {
    names: Mutex<Vec<(String, String)>>,
    more: Notify,
}

/// An interface whose driver may lose the filter.
struct Watched {
    driver: &'static Driver,
    held: Held,
    /// How it was when the filter was put there last.
    seen: Shape,
    /// What it had received at the last look at which nothing had changed.
    received: u64,
    /// The driver may have lost it, and it hasn't been put back since.
    due: bool,
    /// It couldn't be put back, and that was said.
    refused: bool,
    /// If it can't be, the filter may be attached in the stack instead.
    may_be_generic: bool,
}

/// What changes when a driver loses its program: it is set down and up, it gets another MTU, or it takes the carrier away
/// while it rebuilds its rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    mtu: u32,
    carrier_changes: u32,
}

impl Shape {
    const fn of(interface: &Interface) -> Self {
        Self { mtu: interface.mtu, carrier_changes: interface.carrier_changes }
    }
}

impl Mender {
    /// Looks after all interfaces that are guarded now and whose driver may lose the filter, and after no others.
    pub(super) fn renew(&mut self, service: &mut Service) {
        let may_be_generic = service.options().xdp_mode == Mode::Auto;
        let watched = match service.losable() {
            Ok(losable) => losable.into_iter().map(|(interface, driver, held)| Watched {
                driver,
                held,
                seen: Shape::of(&interface),
                received: interface.received,
                due: false,
                refused: false,
                may_be_generic,
            }),
            Err(error) => {
                return warn(format_args!("if a driver loses the filter, nothing puts it back: {error:#}"));
            }
        };
        let mut watched: Vec<_> = watched.collect();
        let is_empty = watched.is_empty();
        {
            let mut all = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
            for before in all.iter() {
                let now = watched.iter_mut().find(|watched| watched.held.index == before.held.index);
                now.into_iter().for_each(|now| now.go_on(before));
            }
            *all = watched;
        }
        if !self.runs && !is_empty {
            self.runs = true;
            let (watched, refused) = (Arc::clone(&self.watched), Arc::clone(&self.refused));
            let spawned = thread::Builder::new().name("mend".to_owned()).spawn(move || {
                if let Err(error) = mend(&watched, &refused) {
                    warn(format_args!(
                        "if a driver loses the filter, nothing puts it back any more: {error:#}"
                    ));
                }
            });
            if let Err(error) = spawned {
                warn(format_args!("if a driver loses the filter, nothing puts it back: no thread: {error}"));
            }
        }
    }
}

impl Mender {
    /// Waits for an interface whose driver doesn't take the filter back.
    pub(super) async fn refused(&self) {
        self.refused.more.notified().await;
    }

    /// Watches an interface no more: without a pin what watches it holds it, too, and the kernel takes one mode at a time.
    pub(super) fn leave(&self, name: &str) {
        let Ok(found) = interface::find(name) else { return };
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|watched| watched.held.index != found.index);
    }

    /// Attaches the filter in the stack where the driver doesn't take it back.
    pub(super) fn fall_back(&self, service: &mut Service) {
        let names = mem::take(&mut *self.refused.names.lock().unwrap_or_else(PoisonError::into_inner));
        for (name, reason) in names {
            self.leave(&name);
            match service.fall_back(&name) {
                Ok(()) => warn(format_args!(
                    "{name}: the filter didn't run: its driver lost it and doesn't take it back ({reason}); now it runs in the \
                     stack, as generic XDP"
                )),
                Err(error) => warn(format_args!(
                    "{name}: the filter doesn't run: its driver lost it and doesn't take it back ({reason}), and it can't be \
                     attached in the stack either: {error:#}"
                )),
            }
        }
    }
}

/// The thread.
fn mend(watched: &Mutex<Vec<Watched>>, refused: &Refused) -> Result<()> {
    // Where the main thread keeps its rights (--no-sandbox), this one needs no more than the one.
    let _ = sandbox::keep(&sandbox::KEPT);
    let events = LinkEvents::listen()?;
    let mut slept = suspended();
    let mut failing = false;
    loop {
        let waited = events.wait(LOOK);
        if waited.is_err() {
            thread::sleep(LOOK);
        }
        let start = Instant::now();
        let all = interface::all();
        // What the kernel refuses now, for want of memory or descriptors, it may do later.
        let error = waited.err().map(|error| error.to_string());
        let error = error.or_else(|| all.as_ref().err().map(|error| format!("{error:#}")));
        if let Some(error) = error.as_ref().filter(|_| !failing) {
            warn(format_args!(
                "where a driver loses the filter it may be put back late (tried again): {error}"
            ));
        }
        failing = error.is_some();
        let Ok(all) = all else {
            thread::sleep(LOOK);
            continue;
        };
        let now = suspended();
        let resumed = now > slept + ASLEEP;
        slept = now;
        // What is handed over isn't watched any more: without a pin its hold is open here, too, and must be closed to end it.
        watched.lock().unwrap_or_else(PoisonError::into_inner).retain_mut(|watched| {
            let found = all.iter().find(|interface| interface.index == watched.held.index);
            let Some((found, error)) =
                found.and_then(|found| Some((found, watched.look(found, resumed, start)?)))
            else {
                return true;
            };
            let mut names = refused.names.lock().unwrap_or_else(PoisonError::into_inner);
            names.push((found.name.clone(), format!("{error:#}")));
            refused.more.notify_one();
            false
        });
    }
}

impl Watched {
    /// Puts the filter back if something has happened at which the driver may have lost it. While the interface is down there
    /// is nothing to guard, and some drivers would lose it again. Returns why it wasn't taken back, if it may be attached in
    /// the stack then.
    fn look(&mut self, found: &Interface, resumed: bool, start: Instant) -> Option<anyhow::Error> {
        let changed =
            Shape::of(found) != self.seen && self.driver.losses.iter().any(|loss| *loss != Loss::Resume);
        // Until it has been put back, and not only in this turn.
        self.due |= changed || resumed;
        if !self.due {
            self.received = found.received;
            return None;
        }
        if !found.up {
            return None;
        }
        let name = &found.name;
        match self.put_back(found) {
            Ok(swapping) => {
                (self.due, self.refused) = (false, false);
                // Since the kernel told of the event; and of that, until the kernel and the driver had taken the program.
                let (took, within) = (start.elapsed().as_millis(), swapping.as_millis());
                // Some drivers' counters begin anew with the rings.
                let passed = match found.received.checked_sub(self.received) {
                    Some(passed) => format!("at most {passed} frames weren't judged"),
                    None => "what wasn't judged isn't known".to_owned(),
                };
                let driver = self.driver.names.first().copied().unwrap_or_default();
                warn(format_args!(
                    "{name}: the filter didn't run ({driver} loses it), put back in {took} ms, {within} of them in the driver; \
                     {passed}"
                ));
                self.received = found.received;
            }
            Err(error) if self.may_be_generic => return Some(error),
            Err(_) if self.refused => (),
            Err(error) => {
                self.refused = true;
                warn(format_args!(
                    "{name}: the filter doesn't run: its driver has lost it and doesn't take it back (tried again): \
                     {error:#}; `--xdp-mode auto` attaches it in the stack then"
                ));
            }
        }
        None
    }

    /// Goes on from what was known, with a hold that is open anew.
    fn go_on(&mut self, before: &Self) {
        let Self { seen, received, due, refused, .. } = *before;
        (self.seen, self.received, self.due, self.refused) = (seen, received, due, refused);
    }

    /// Puts another instance there, until nothing more has changed since the last one was put there. Returns how long the kernel
    /// and the driver took for it.
    fn put_back(&mut self, found: &Interface) -> Result<Duration> {
        let mut before = Shape::of(found);
        let mut swapping = Duration::ZERO;
        for _ in 0..TRIES {
            let start = Instant::now();
            self.held.swap()?;
            swapping += start.elapsed();
            self.seen = before;
            let now = Shape::of(&interface::find(&found.name)?);
            if now == before {
                break;
            }
            before = now;
        }
        Ok(swapping)
    }
}
