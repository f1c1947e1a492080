//! Programs that stay loaded although nothing of ntpguard's holds them any more.
//!
//! The kernel frees a program with the last reference to it. A driver that keeps a reference may go on running the
//! program without anything in the kernel's core showing it. Or it has miscounted its references, and nothing frees the
//! program before the next boot.

use super::{
    call,
    hold::{behind, look},
    how::How,
    owner::is_ours,
    pins::{MapFolder, Pins},
};
use crate::host::interface::{self, Interface};
use anyhow::Result;
use aya::programs::loaded_programs;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    thread::sleep,
    time::{Duration, Instant},
};

/// How long the kernel may take to free a program. It does so after a grace period, which takes long on a busy machine,
/// and longer in an emulator.
const GRACE: Duration = Duration::from_secs(10);
/// How long it may take for a program that nothing of ntpguard's has held for a while.
const REST: Duration = Duration::from_secs(1);

/// A program that stays loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The kernel's id of the program.
    pub program: u32,
    /// The interface in whose driver it ran until now; `None` for a program that was replaced earlier or ran in the
    /// stack.
    pub on: Option<Interface>,
}

/// The programs that are loaded before interfaces are given up: those that use the pinned maps, and those that run in
/// drivers.
pub struct Before {
    loaded: BTreeSet<u32>,
    held: BTreeSet<u32>,
    native: Vec<(Interface, u32)>,
}

impl Before {
    /// Records what is loaded, held and attached now.
    ///
    /// # Errors
    /// The pins can't be read, or the kernel doesn't report the interfaces.
    pub fn look(pins: &Pins) -> Result<Self> {
        let links = pins.links()?;
        let guarded = interface::all()?.into_iter().filter(|interface| links.contains(&interface.index));
        let native = guarded.filter_map(|interface| match look(pins, &interface) {
            Ok(Some((How::Native, program))) => Some((interface, program)),
            _ => None,
        });
        let native = native.collect();
        let loaded = pins.current()?.map(|place| around(&place)).unwrap_or_default();
        Ok(Self { loaded, held: held(pins)?, native })
    }

    /// The programs that are still loaded after the kernel has had time to free them, although no pin holds them any
    /// more; none if this process may not ask.
    ///
    /// # Errors
    /// The pins can't be read.
    pub fn left(self, pins: &Pins) -> Result<Vec<Left>> {
        let held = held(pins)?;
        let mut native = self.native;
        native.retain(|(_, program)| !held.contains(program));
        let on: BTreeSet<u32> = native.iter().map(|(_, program)| *program).collect();
        let given = self.loaded.iter().chain(&on).copied().filter(|program| !held.contains(program));
        let (lately, long_ago): (BTreeSet<u32>, BTreeSet<u32>) =
            given.partition(|program| on.contains(program) || self.held.contains(program));
        let mut stay = still_loaded(lately, GRACE);
        stay.append(&mut still_loaded(long_ago, REST));
        native.retain(|(_, program)| stay.contains(program));
        let others = stay.difference(&on).map(|program| Left { program: *program, on: None });
        let others: Vec<_> = others.collect();
        let on = native.into_iter().map(|(interface, program)| Left { program, on: Some(interface) });
        Ok(on.chain(others).collect())
    }
}

/// The programs of a guard that ends with its process.
#[derive(Deserialize, Serialize)]
pub struct Going {
    loaded: BTreeSet<u32>,
    /// The programs that drivers run, by the indexes of their interfaces.
    native: BTreeMap<u32, u32>,
}

impl Going {
    /// `loaded` are all programs that the guard will ever have.
    pub(super) fn new(loaded: BTreeSet<u32>) -> Result<Self> {
        let native = interface::all()?.into_iter().filter_map(|one| Some((one.index, one.xdp?)));
        let native = native.filter(|(_, xdp)| xdp.native && loaded.contains(&xdp.program));
        let native = native.map(|(index, xdp)| (index, xdp.program)).collect();
        Ok(Self { loaded, native })
    }

    /// The programs that are still loaded after their process has ended and the kernel has had time to free them; none
    /// if this process may not ask.
    pub fn left(&self) -> Vec<Left> {
        let all = interface::all().unwrap_or_default();
        let on = |program| {
            let (index, _) = self.native.iter().find(|(_, native)| **native == program)?;
            all.iter().find(|one| one.index == *index).cloned()
        };
        let stay = still_loaded(self.loaded.clone(), GRACE).into_iter();
        stay.map(|program| Left { program, on: on(program) }).collect()
    }
}

/// The loaded programs that count in these maps.
fn around(place: &MapFolder) -> BTreeSet<u32> {
    let Some(counters) = place.info("REASONS").map(|info| info.id()) else { return BTreeSet::new() };
    let ours =
        loaded_programs().filter_map(Result::ok).filter(|info| info.name_as_str().is_some_and(is_ours));
    let counts_there = ours
        .filter(|info| info.map_ids().is_ok_and(|maps| maps.is_some_and(|maps| maps.contains(&counters))));
    counts_there.map(|info| info.id()).collect()
}

/// The programs that pins hold: through links, and in the folder of maps.
fn held(pins: &Pins) -> Result<BTreeSet<u32>> {
    // If everything was given up, the root folder was removed, too.
    if !pins.root().exists() {
        return Ok(BTreeSet::new());
    }
    let mut held = behind(pins)?;
    let pinned = pins.current()?.map(|place| place.programs()).unwrap_or_default();
    held.extend(pinned.into_iter().map(|(_, program)| program.id));
    Ok(held)
}

/// Those of the programs that are still loaded after `grace`.
fn still_loaded(mut programs: BTreeSet<u32>, grace: Duration) -> BTreeSet<u32> {
    let start = Instant::now();
    loop {
        programs.retain(|program| call::is_loaded(*program) == Some(true));
        if programs.is_empty() || start.elapsed() > grace {
            return programs;
        }
        sleep(Duration::from_millis(10));
    }
}
