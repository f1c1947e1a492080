//! Another instance of the program, to put behind a hold whose driver has lost the one that is there.
//!
//! To the kernel an update to the program that a link has already is no update (net/core/dev.c:bpf_xdp_link_update), so
//! bringing a driver to take the program again takes another one: the same code around the same maps, loaded twice.

use super::{call, loaded_program::LoadedProgram};
use crate::host::{
    clock::{ASLEEP, suspended},
    driver::{self, Driver, Loss},
    interface::{self, Interface},
};
use anyhow::{Context as _, Result, bail, ensure};
use aya::programs::links::FdLink;
use std::{
    fs,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

/// The drivers that a native program on an interface comes to: its own, and those of a bond's members.
pub fn drivers(interface: &Interface) -> Vec<&'static Driver> {
    let all = interface::all().unwrap_or_default();
    let members = interface::members(&all, interface);
    let named = members.chain([interface]).filter_map(|card| driver::name(Path::new("/"), card));
    named.filter_map(|name| driver::find(&name)).collect()
}

/// Which of them may lose the program while the core goes on showing it.
pub fn losing(interface: &Interface) -> Option<&'static Driver> {
    drivers(interface).into_iter().find(|driver| driver.loses())
}

/// Whether one of them may have lost it by now: one that loses it at nothing but a resume hasn't on a machine that was never
/// suspended.
pub(super) fn may_have_lost(interface: &Interface) -> bool {
    let losses = drivers(interface).into_iter().flat_map(|driver| driver.losses);
    let slept = suspended() > ASLEEP;
    losses.into_iter().any(|loss| *loss != Loss::Resume || slept)
}

/// Makes sure that another program behind the hold on an interface comes to run.
///
/// # Errors
/// The driver goes on running the one that is there.
pub(super) fn is_replaceable(interface: &Interface) -> Result<()> {
    let all = interface::all().unwrap_or_default();
    if let Some(driver) = driver::irreplaceable(Path::new("/"), &all, interface) {
        let driver = driver.names.first().copied().unwrap_or_default();
        bail!("a replacement has no effect in its driver ({driver}): only attaching anew has");
    }
    Ok(())
}

/// A hold on an interface, and the programs that may stand behind it. It needs nothing of the guard that it is of, and no
/// right but CAP_BPF.
pub struct Held {
    /// The interface's index.
    pub index: u32,
    pub(super) link: Link,
    pub(super) programs: Vec<LoadedProgram>,
}

/// What holds the interface.
pub(super) enum Link {
    /// A pin, opened for as long as it takes: with a descriptor that stays open the filter would stay when the pin is removed.
    Pinned(PathBuf),
    /// A descriptor, which is to be closed to end the hold.
    Own(OwnedFd),
}

impl Held {
    /// Does something with the link, and returns what comes of it.
    fn with<T>(&self, work: impl FnOnce(BorrowedFd<'_>) -> Result<T>) -> Result<T> {
        match &self.link {
            Link::Pinned(path) => work(call::open(path).context("can't open the pinned link")?.as_fd()),
            Link::Own(link) => work(link.as_fd()),
        }
    }

    /// The id of the program behind the hold.
    pub(super) fn program(&self) -> Result<u32> {
        self.with(call::link_program)
    }

    /// Puts another instance behind the hold than the one that is there.
    ///
    /// # Errors
    /// There is no other one, or the driver refuses it.
    pub fn swap(&self) -> Result<()> {
        self.with(|link| {
            let there = call::link_program(link)?;
            let other = self.programs.iter().find(|program| program.id != there);
            let other = other.context("there is no other instance of the program")?;
            call::update_link(link, other.program.as_fd())
                .context("the driver refuses the program (BPF_LINK_UPDATE)")
        })
    }
}

/// Another descriptor of a link, which aya doesn't give away: found among this process's by the link's id.
pub(super) fn duplicate(link: &FdLink) -> Result<OwnedFd> {
    let id = link.info()?.id();
    // kernel/bpf/syscall.c:bpf_link_show_fdinfo.
    let shown = format!("link_id:\t{id}");
    for entry in fs::read_dir("/proc/self/fdinfo").context("can't read /proc/self/fdinfo")? {
        let path = entry?.path();
        let is_it = fs::read_to_string(&path).is_ok_and(|info| info.lines().any(|line| line == shown));
        let number = path.file_name().and_then(|name| name.to_str()?.parse::<i32>().ok());
        let Some(number) = number.filter(|_| is_it) else { continue };
        // SAFETY: the descriptor is `link`'s, or another one of the same link, and `link` stays open during this call.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned()?;
        ensure!(call::link_id(descriptor.as_fd())? == id, "the link's descriptor was closed meanwhile");
        return Ok(descriptor);
    }
    bail!("the link's descriptor isn't found in /proc/self/fdinfo")
}
