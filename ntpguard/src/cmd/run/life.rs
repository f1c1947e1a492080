//! `run`: checks at intervals whether the filter runs where it is attached.

use super::mend::Mender;
use crate::{
    bpf::{Hook, How, Mode},
    guard::Service,
    host::{
        interface::Interface,
        log::{tell, warn},
    },
    observe::{
        life::{self, InterfaceReading, Life, Proof},
        pulse::Pulse,
    },
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// Time between two readings.
const PACE: Duration = Duration::from_secs(5);
/// Time after which advice is repeated.
const AGAIN: Duration = Duration::from_secs(3600);

/// What is known about each guarded interface.
#[derive(Default)]
pub(super) struct Lives {
    pulse: Pulse,
    found: BTreeMap<String, Proof>,
    /// The interfaces on which the filter doesn't run, and what was done last.
    said: BTreeMap<String, Said>,
    last: Option<Instant>,
}

/// What was done about an interface on which the filter doesn't run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    /// Another instance of the program was put there.
    PutBack,
    /// The filter was attached in generic mode instead.
    FellBack,
    /// The user was told what to do, at this time.
    Advised(Instant),
}

impl Lives {
    /// Takes a reading if it is time, repairs what it can, and reports changes. `guarded` names the interfaces that are there.
    pub(super) fn follow(
        &mut self,
        service: &mut Service,
        mender: &mut Mender,
        guarded: impl Iterator<Item = String>,
    ) {
        let now = Instant::now();
        if self.last.is_some_and(|last| now.duration_since(last) < PACE) {
            return;
        }
        self.last = Some(now);
        // Unreadable counters are reported where they are printed.
        let Ok(reading) = InterfaceReading::take(&service.guard.maps).map(Arc::new) else { return };
        let hook = service.options().hook;
        self.found.clear();
        for name in guarded {
            let Some(interface) = reading.interface(&name) else { continue };
            let how = how(hook, interface);
            let proof = self.pulse.look(&reading, interface, how == How::Native);
            match proof.life {
                Life::NotRun => self.lost((service, mender), interface, how, &proof, now),
                Life::Runs if self.said.remove(&name).is_some() => {
                    tell(format_args!("the filter runs on {name} again"));
                }
                _ => (),
            }
            self.found.insert(name, proof);
        }
    }

    /// What is known about one interface.
    pub(super) fn of(&self, name: &str) -> Life {
        self.found.get(name).map_or(Life::Unknown, |proof| proof.life)
    }

    /// Puts another instance where the filter doesn't run. If that didn't help, attaches it in generic mode where that is
    /// allowed, and otherwise tells the user what to do.
    fn lost(
        &mut self,
        (service, mender): (&mut Service, &mut Mender),
        interface: &Interface,
        how: How,
        proof: &Proof,
        now: Instant,
    ) {
        let name = &interface.name;
        let said = self.said.get(name).copied();
        if matches!(said, Some(Said::Advised(said)) if now.duration_since(said) < AGAIN) {
            return;
        }
        warn(format_args!("the filter doesn't run on {name}, though it is attached there:"));
        warn(format_args!("  {}", proof.evidence()));
        let said = if said.is_none() && how == How::Native && service.put_back(interface).is_ok() {
            warn(format_args!("  another instance of it is there now"));
            Said::PutBack
        } else if how == How::Native
            && service.options().xdp_mode == Mode::Auto
            && !matches!(said, Some(Said::Advised(_)))
            && fall_back(service, mender, name)
        {
            Said::FellBack
        } else {
            warn(format_args!("  try: {}", life::remedy(name, Some(how), true)));
            Said::Advised(now)
        };
        if !matches!(said, Said::Advised(_)) {
            // The program that is there now hasn't proved yet that it runs.
            self.pulse.forget(interface.index);
        }
        self.said.insert(name.clone(), said);
    }
}

/// Attaches the filter in generic mode instead of in the driver. Returns whether that succeeded.
fn fall_back(service: &mut Service, mender: &mut Mender, name: &str) -> bool {
    mender.leave(name);
    let done = service.fall_back(name);
    mender.renew(service);
    match done {
        Ok(()) => {
            warn(format_args!("  now it is attached in the stack, as generic XDP"));
            true
        }
        Err(error) => {
            warn(format_args!("  it can't be attached in the stack either: {error:#}"));
            false
        }
    }
}

/// How the filter is attached to an interface now.
fn how(hook: Hook, interface: &Interface) -> How {
    match (hook, interface.xdp) {
        (Hook::Tc, _) => How::Tcx,
        (Hook::Xdp, Some(xdp)) if xdp.native => How::Native,
        (Hook::Xdp, _) => How::Generic,
    }
}
