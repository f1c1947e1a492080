//! Puts the filter back before interfaces whose driver has lost it.
//!
//! Some drivers forget their program when the link goes up, its MTU or its rings change, or the machine resumes, and the
//! kernel's core goes on showing it (`host::driver`, `Loss`). Nobody tells whether one has, so what is said is what may be. A
//! thread of its own waits for such events, since a reload may keep the main thread busy for seconds. Where the driver doesn't
//! take the filter back, with an MTU over its limit, the main thread is told, which can attach it in the stack instead.

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
    held: Held,
    /// How its cards were when the filter was put there last.
    seen: Vec<Card>,
    /// What it had received at the last look at which nothing had changed.
    received: u64,
    /// Why a driver may have lost it, which hasn't been put back since.
    due: Option<String>,
    /// It couldn't be put back, and that was said.
    refused: bool,
    /// If it can't be, the filter may be attached in the stack instead.
    may_be_generic: bool,
}

/// What it took to put the filter back.
struct Took {
    /// When the kernel was asked first.
    until: Instant,
    /// How long the kernel and the driver took for it (BPF_LINK_UPDATE).
    within: Duration,
}

/// The cards of an interface whose drivers may lose the filter.
fn losing(all: &[Interface], interface: &Interface) -> Vec<Card> {
    let driver =
        |one: &Interface| -> Option<&'static Driver> { driver::find(&driver::name(Path::new("/"), one)?) };
    cards(all, interface, driver)
}

impl Mender {
    /// Looks after all interfaces that are guarded now and whose driver may lose the filter, and after no others.
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
                Ok(()) => warn(format_args!("{name}: {reason}; now it runs in the stack, as generic XDP")),
                Err(error) => warn(format_args!(
                    "{name}: {reason}, and it can't be attached in the stack either: {error:#}"
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
    /// Puts the filter back if something has happened at which the driver may have lost it. While the interface is down there
    /// is nothing to guard, and some drivers would lose it again. Returns why it wasn't taken back, if it may be attached in
    /// the stack then.
    fn look(
        &mut self,
        all: &[Interface],
        found: &Interface,
        resumed: bool,
        start: Instant,
    ) -> Option<String> {
        let now = losing(all, found);
        let happened = lost(&self.seen, &now).or_else(|| lost_asleep(&now).filter(|_| resumed));
        // Until it has been put back, and not only in this turn.
        self.due = self.due.take().or(happened);
        let Some(due) = self.due.clone() else {
            // Members that are new are watched from now on.
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
                // From the kernel's word of the event until the first system call; and what those took.
                let (until, within) = (until.duration_since(start).as_millis(), within.as_millis());
                // Some drivers' counters begin anew with the rings.
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

    /// Goes on from what was known, with a hold that is open anew.
    fn go_on(&mut self, before: &Self) {
        let Self { seen, received, due, refused, .. } = before;
        (self.seen, self.due) = (seen.clone(), due.clone());
        (self.received, self.refused) = (*received, *refused);
    }

    /// Puts another instance there, until nothing more has happened since the last one was put there.
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
