//! A second instance of the program, for a driver that has lost the first.
//!
//! The kernel ignores an update of a link to the program that it already has (net/core/dev.c:bpf_xdp_link_update). So
//! to make the driver take the program again, a different one is needed: the same code with the same maps, loaded
//! twice.

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

/// The drivers that run a native program on an interface: its own driver, and those of a bond's members.
pub fn drivers(interface: &Interface) -> Vec<&'static Driver> {
    let all = interface::all().unwrap_or_default();
    let members = interface::members(&all, interface);
    let named = members.chain([interface]).filter_map(|card| driver::name(Path::new("/"), card));
    named.filter_map(|name| driver::find(&name)).collect()
}

/// The first of these drivers that may lose the program while the kernel's core still shows it.
pub fn losing(interface: &Interface) -> Option<&'static Driver> {
    drivers(interface).into_iter().find(|driver| driver.loses())
}

/// Whether one of these drivers may have lost the program by now. On a machine that was never suspended, a driver that
/// loses it only at a resume hasn't.
pub(super) fn may_have_lost(interface: &Interface) -> bool {
    let losses = drivers(interface).into_iter().flat_map(|driver| driver.losses);
    let slept = suspended() > ASLEEP;
    losses.into_iter().any(|loss| *loss != Loss::Resume || slept)
}

/// Checks that replacing the program of the hold on an interface has an effect.
///
/// # Errors
/// The driver would go on running the previous program.
pub(super) fn is_replaceable(interface: &Interface) -> Result<()> {
    let all = interface::all().unwrap_or_default();
    if let Some(driver) = driver::irreplaceable(Path::new("/"), &all, interface) {
        let driver = driver.names.first().copied().unwrap_or_default();
        bail!("a replacement has no effect in its driver ({driver}): only attaching anew has");
    }
    Ok(())
}

/// A hold on an interface, and the programs that it may switch between. It doesn't depend on the guard that it came
/// from, and requires no capability but CAP_BPF.
pub struct Held {
    /// The interface's index.
    pub index: u32,
    pub(super) link: Link,
    pub(super) programs: Vec<LoadedProgram>,
}

/// The link of a hold.
pub(super) enum Link {
    /// A pin, which is opened only while it is used: an open descriptor would keep the filter attached after the pin is
    /// removed.
    Pinned(PathBuf),
    /// A descriptor; closing it ends the hold.
    Own(OwnedFd),
}

impl Held {
    /// Calls `work` with the link, and returns its result.
    fn with<T>(&self, work: impl FnOnce(BorrowedFd<'_>) -> Result<T>) -> Result<T> {
        match &self.link {
            Link::Pinned(path) => work(call::open(path).context("can't open the pinned link")?.as_fd()),
            Link::Own(link) => work(link.as_fd()),
        }
    }

    /// The id of the hold's present program.
    pub(super) fn program(&self) -> Result<u32> {
        self.with(call::link_program)
    }

    /// Replaces the hold's program with another instance.
    ///
    /// # Errors
    /// There is no other instance, or the driver refuses it.
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

/// A new descriptor of a link. aya doesn't expose its own, so that one is found by the link's id among the descriptors
/// of this process.
pub(super) fn duplicate(link: &FdLink) -> Result<OwnedFd> {
    let id = link.info()?.id();
    // kernel/bpf/syscall.c:bpf_link_show_fdinfo.
    let shown = format!("link_id:\t{id}");
    for entry in fs::read_dir("/proc/self/fdinfo").context("can't read /proc/self/fdinfo")? {
        let path = entry?.path();
        let is_it = fs::read_to_string(&path).is_ok_and(|info| info.lines().any(|line| line == shown));
        let number = path.file_name().and_then(|name| name.to_str()?.parse::<i32>().ok());
        let Some(number) = number.filter(|_| is_it) else { continue };
        // SAFETY: the descriptor is that of `link` or another one of the same link, and `link` stays open during this
        // call.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned()?;
        ensure!(call::link_id(descriptor.as_fd())? == id, "the link's descriptor was closed meanwhile");
        return Ok(descriptor);
    }
    bail!("the link's descriptor isn't found in /proc/self/fdinfo")
}
