//! Puts the filter back on interfaces whose driver has lost it.
//!
//! Some drivers forget their program when the link goes up, its MTU or its rings change, or the machine resumes, while the
//! kernel's core still reports it as attached (`host::driver`, `Loss`). Whether a driver really has lost it is unknown, so
//! the messages say what may have happened. Such events are awaited by a separate thread, since a reload may occupy the
//! main thread for seconds. If the driver doesn't take the filter back, as with an MTU over its limit, the main thread is
//! notified, and can attach it in generic mode.

mod card;

use crate::{
    bpf::{Held, Mode},
    guard::Service,
    host::{
        clock::{ASLEEP, suspended},
        driver::{self, Driver},
        interface::{self, Interface},
        link_events::LinkEvents,
        log::warn,
        sandbox,
    },
};
use anyhow::{Context as _, Result};
use card::{Card, cards, lost, lost_asleep};
use std::{
    mem,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// Interval of checks without an event: some losses come without one, and the count of received frames has to be kept up to date.
const LOOK: Duration = Duration::from_secs(1);

/// Maximum number of replacements in a row: a driver that resets its link at each replacement seems to change again.
const TRIES: usize = 4;

/// The thread, and the interfaces that it watches.
#[derive(Default)]
pub(super) struct Mender {
    watched: Arc<Mutex<Vec<Watched>>>,
    refused: Arc<Refused>,
    runs: bool,
}

/// Interfaces whose driver didn't take the filter back, with the reason, until the main thread has handled them.
#[derive(Default)]
struct Refused {
    names: Mutex<Vec<(String, String)>>,
    more: Notify,
}

/// An interface whose driver may lose the filter.
struct Watched {
    held: Held,
    /// The state of its cards when the filter was last put there.
    seen: Vec<Card>,
    /// Frames received by the last check that found no change.
    received: u64,
    /// Why the driver may have lost the filter, if it hasn't been put back since.
    due: Option<String>,
    /// Putting it back failed, and this was reported.
    refused: bool,
    /// If it can't be put back, the filter may be attached in generic mode instead.
    may_be_generic: bool,
}

/// The time that it took to put the filter back.
struct Took {
    /// When the first replacement was requested from the kernel.
    until: Instant,
    /// How long the kernel and the driver took for all replacements (BPF_LINK_UPDATE).
    within: Duration,
}

/// The cards of an interface whose drivers may lose the filter.
fn losing(all: &[Interface], interface: &Interface) -> Vec<Card> {
    let driver =
        |one: &Interface| -> Option<&'static Driver> { driver::find(&driver::name(Path::new("/"), one)?) };
    cards(all, interface, driver)
}

impl Mender {
    /// Watches exactly those guarded interfaces whose driver may lose the filter.
    pub(super) fn renew(&mut self, service: &mut Service) {
        let may_be_generic = service.options().xdp_mode == Mode::Auto;
        let losable = interface::all().and_then(|all| Ok((service.losable()?, all)));
        let watched = match losable {
            Ok((losable, all)) => losable.into_iter().map(move |(interface, held)| Watched {
                held,
                seen: losing(&all, &interface),
                received: interface.received,
                due: None,
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

    /// Stops watching an interface: without a pin, the watcher's hold keeps the filter attached too, and the kernel allows
    /// only one mode at a time.
    pub(super) fn leave(&self, name: &str) {
        let Ok(found) = interface::find(name) else { return };
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|watched| watched.held.index != found.index);
    }

    /// Attaches the filter in generic mode where the driver doesn't take it back.
    pub(super) fn fall_back(&self, service: &mut Service) {
        let names = mem::take(&mut *self.refused.names.lock().unwrap_or_else(PoisonError::into_inner));
        for (name, reason) in names {
            self.leave(&name);
            match service.fall_back(&name) {
                Ok(()) => warn(format_args!("{name}: {reason}; now it runs in the stack, as generic XDP")),
                Err(error) => warn(format_args!(
                    "{name}: {reason}, and it can't be attached in the stack either: {error:#}"
                )),
            }
        }
    }
}

/// The body of the thread.
fn mend(watched: &Mutex<Vec<Watched>>, refused: &Refused) -> Result<()> {
    // If the main thread keeps its rights (--no-sandbox), this one still keeps only the single right that it needs.
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
        // What the kernel refuses now, for want of memory or descriptors, may succeed later.
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
        // An interface that is handed over is no longer watched: without a pin, its hold is open here too, and must be
        // closed before the filter can be detached.
        watched.lock().unwrap_or_else(PoisonError::into_inner).retain_mut(|watched| {
            let found = all.iter().find(|interface| interface.index == watched.held.index);
            let Some((found, reason)) =
                found.and_then(|found| Some((found, watched.look(&all, found, resumed, start)?)))
            else {
                return true;
            };
            let mut names = refused.names.lock().unwrap_or_else(PoisonError::into_inner);
            names.push((found.name.clone(), reason));
            refused.more.notify_one();
            false
        });
    }
}

impl Watched {
    /// Puts the filter back if something has happened by which the driver may have lost it. While the interface is down
    /// there is nothing to guard, and some drivers would lose the filter again. If the driver didn't take it back and
    /// generic mode is allowed, returns the reason.
    fn look(
        &mut self,
        all: &[Interface],
        found: &Interface,
        resumed: bool,
        start: Instant,
    ) -> Option<String> {
        let now = losing(all, found);
        let happened = lost(&self.seen, &now).or_else(|| lost_asleep(&now).filter(|_| resumed));
        // Remembered until the filter has been put back, not only in this turn.
        self.due = self.due.take().or(happened);
        let Some(due) = self.due.clone() else {
            // New members of a bond are watched from now on.
            self.seen = now;
            self.received = found.received;
            return None;
        };
        if !found.up {
            return None;
        }
        let name = &found.name;
        match self.put_back(found, now) {
            Ok(Took { until, within }) => {
                (self.due, self.refused) = (None, false);
                // `until`: from the kernel's notification to the first system call; `within`: the duration of the system calls.
                let (until, within) = (until.duration_since(start).as_millis(), within.as_millis());
                // Some drivers reset their counters when the rings are rebuilt.
                let passed = match found.received.checked_sub(self.received) {
                    Some(passed) => format!("at most {passed} frames weren't judged"),
                    None => "how many frames weren't judged isn't known".to_owned(),
                };
                warn(format_args!(
                    "{name}: {due}; put back after {until} ms, and {within} ms more in the driver; {passed}"
                ));
                self.received = found.received;
                None
            }
            Err(error) => {
                let reason = format!("{due}, and doesn't take it back ({error:#})");
                if self.may_be_generic {
                    return Some(reason);
                }
                if !mem::replace(&mut self.refused, true) {
                    warn(format_args!(
                        "{name}: {reason}; tried again; `--xdp-mode auto` attaches it in the stack then"
                    ));
                }
                None
            }
        }
    }

    /// Takes over what was known about the interface before its hold was renewed.
    fn go_on(&mut self, before: &Self) {
        let Self { seen, received, due, refused, .. } = before;
        (self.seen, self.due) = (seen.clone(), due.clone());
        (self.received, self.refused) = (*received, *refused);
    }

    /// Puts another instance there, and repeats this until nothing has happened since the last replacement.
    fn put_back(&mut self, found: &Interface, mut before: Vec<Card>) -> Result<Took> {
        let mut took = Took { until: Instant::now(), within: Duration::ZERO };
        for _ in 0..TRIES {
            let start = Instant::now();
            self.held.swap()?;
            took.within += start.elapsed();
            let all = interface::all()?;
            let found = all.iter().find(|one| one.index == found.index).context("it is gone")?;
            let now = losing(&all, found);
            let again = lost(&before, &now).is_some();
            self.seen = mem::replace(&mut before, now);
            if !again {
                break;
            }
        }
        Ok(took)
    }
}
