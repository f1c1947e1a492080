//! The program that learns associations, at the egress of the root cgroup, beside others there.

use super::{Guard, Pins, call, identity::Identity, refused::program_in_words};
use anyhow::{Context as _, Result, anyhow, bail};
use aya::{
    Ebpf,
    programs::{CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, Program, ProgramError, links::FdLink},
};
use nix::errno::Errno;
use std::{
    fs::{self, File},
    io,
    os::fd::AsFd as _,
};

/// How a packet of the guarded network namespace is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learner {
    /// The kernel says which namespace it is from.
    ByNamespace,
    /// It comes from one of this host's addresses.
    ByAddress,
}

impl Learner {
    /// All of them, the preferred one first, with the names of their programs.
    const PROGRAMS: [(Self, &str); 2] =
        [(Self::ByNamespace, "ntpguard_learn"), (Self::ByAddress, "ntpguard_learn_v6_1")];

    /// The learner whose program has this name in the kernel, which keeps 15 bytes of it.
    fn named(kept: &str) -> Option<Self> {
        let all = Self::PROGRAMS.into_iter();
        all.map(|(learner, name)| (learner, &name[..name.len().min(15)]))
            .find(|(_, name)| *name == kept)
            .map(|(learner, _)| learner)
    }
}

/// Whether associations are learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learnt {
    /// They aren't.
    No,
    /// They are: by this program, if this process may look at it, which requires CAP_SYS_ADMIN.
    By(Option<Learner>),
}

impl Pins {
    /// Whether associations are learnt.
    ///
    /// # Errors
    /// This user may not open the pin.
    pub fn learnt(&self) -> io::Result<Learnt> {
        let link = match call::open(&self.learner()) {
            Ok(link) => link,
            Err(Errno::ENOENT) => return Ok(Learnt::No),
            Err(errno) => return Err(errno.into()),
        };
        let name = || {
            let program = call::program(call::link_program(link.as_fd())?)?;
            Identity::of(program.as_fd()).map(|program| program.name())
        };
        Ok(Learnt::By(name().ok().as_deref().and_then(Learner::named)))
    }
}

impl Guard {
    /// Learns from what leaves the sockets of a cgroup. If an earlier process began, this program takes over without a
    /// gap. Returns how it learns, and whether an earlier process began.
    ///
    /// # Errors
    /// The kernel refuses the program, or another program has the cgroup for itself.
    pub fn learn(&mut self, cgroup: &File) -> Result<(Learner, bool)> {
        let (learner, name) = load(&mut self.ebpf)?;
        let program = named(&mut self.ebpf, name)?;
        let pin = self.pins.as_ref().map(Pins::learner);
        if let Some(pin) = pin.as_ref().filter(|pin| pin.exists()) {
            let held = call::open(pin).with_context(|| format!("can't open {}", pin.display()))?;
            match call::update_link(held.as_fd(), program.fd()?.as_fd()) {
                Ok(()) => return Ok((learner, true)),
                // The cgroup is gone, or something else is pinned there.
                Err(Errno::ENOLINK | Errno::EINVAL) => fs::remove_file(pin)?,
                Err(errno) => return Err(errno).context("can't replace the program that learns"),
            }
        }
        // A link always allows other programs beside its own, and takes no flag that says so
        // (kernel/bpf/cgroup.c:cgroup_bpf_link_attach).
        let link = program
            .attach(cgroup, CgroupSkbAttachType::Egress, CgroupAttachMode::Single)
            .map_err(program_in_words)?;
        let link = FdLink::try_from(program.take_link(link)?)?;
        match pin {
            Some(pin) => drop(link.pin(&pin).with_context(|| format!("can't pin {}", pin.display()))?),
            None => self.learner = Some(link),
        }
        Ok((learner, false))
    }
}

/// Loads the first program that the kernel accepts.
fn load(ebpf: &mut Ebpf) -> Result<(Learner, &'static str)> {
    let mut refusal = None;
    for (learner, name) in Learner::PROGRAMS {
        match named(ebpf, name)?.load() {
            Ok(()) | Err(ProgramError::AlreadyLoaded) => return Ok((learner, name)),
            Err(error) => refusal = Some(error),
        }
    }
    Err(refusal.map_or_else(|| anyhow!("there is no program that learns"), program_in_words))
}

fn named<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut CgroupSkb> {
    match ebpf.program_mut(name) {
        Some(Program::CgroupSkb(program)) => Ok(program),
        _ => bail!("the object has no program {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_known_by_what_the_kernel_keeps_of_its_name() {
        for (kept, learner) in [
            ("ntpguard_learn", Some(Learner::ByNamespace)),
            ("ntpguard_learn_", Some(Learner::ByAddress)),
            ("ntpguard", None),
            ("", None),
        ] {
            assert_eq!(Learner::named(kept), learner, "{kept}");
        }
    }
}
