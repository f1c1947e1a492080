//! Programs that stay loaded when nothing of ntpguard's holds them any more.
//!
//! The kernel frees a program with the last reference to it. A driver that keeps one may go on running the program, with nothing in
//! the kernel's core that shows it; or it has lost count, and nothing frees the program before the next boot.

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

/// How long the kernel may take to free a program: it does so after a grace period, which takes long on a busy machine, and longer
/// in an emulator.
const GRACE: Duration = Duration::from_secs(10);
/// The same for a program that nothing of ntpguard's has held for a while.
const REST: Duration = Duration::from_secs(1);

/// A program that stays loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The kernel's number for it.
    pub program: u32,
    /// The interface in whose driver it was until now; `None` for one that was replaced before, or was in the stack.
    pub on: Option<Interface>,
}

/// What is loaded around the pinned maps before interfaces are given up.
pub struct Before {
    loaded: BTreeSet<u32>,
    held: BTreeSet<u32>,
    native: Vec<(Interface, u32)>,
}

impl Before {
    /// Looks.
    ///
    /// # Errors
    /// The pins can't be read, or the kernel doesn't tell the interfaces.
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

    /// Which of them are still loaded when the kernel has had time to let go of them, though no pin holds them any more; none where
    /// this process may not know.
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

/// The programs of a guard that goes with its process.
#[derive(Deserialize, Serialize)]
pub struct Going {
    loaded: BTreeSet<u32>,
    /// Those that a driver runs, by their interfaces' indexes.
    native: BTreeMap<u32, u32>,
}

impl Going {
    /// `loaded` are all that it will ever have.
    pub(super) fn new(loaded: BTreeSet<u32>) -> Result<Self> {
        let native = interface::all()?.into_iter().filter_map(|one| Some((one.index, one.xdp?)));
        let native = native.filter(|(_, xdp)| xdp.native && loaded.contains(&xdp.program));
        let native = native.map(|(index, xdp)| (index, xdp.program)).collect();
        Ok(Self { loaded, native })
    }

    /// Which of them are still loaded after their process, when the kernel has had time to let go of them; none where this process
    /// may not know.
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

/// The programs that count where these maps count.
fn around(place: &MapFolder) -> BTreeSet<u32> {
    let Some(counters) = place.info("REASONS").map(|info| info.id()) else { return BTreeSet::new() };
    let ours =
        loaded_programs().filter_map(Result::ok).filter(|info| info.name_as_str().is_some_and(is_ours));
    let counts_there = ours
        .filter(|info| info.map_ids().is_ok_and(|maps| maps.is_some_and(|maps| maps.contains(&counters))));
    counts_there.map(|info| info.id()).collect()
}

/// The programs that pins hold: behind links, and in the folder of the maps.
fn held(pins: &Pins) -> Result<BTreeSet<u32>> {
    // Whoever gives up everything removes the folder, too.
    if !pins.root().exists() {
        return Ok(BTreeSet::new());
    }
    let mut held = behind(pins)?;
    let pinned = pins.current()?.map(|place| place.programs()).unwrap_or_default();
    held.extend(pinned.into_iter().map(|(_, program)| program.id));
    Ok(held)
}

/// Those of some programs that are still loaded after this time.
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
