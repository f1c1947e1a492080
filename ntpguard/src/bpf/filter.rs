//! The programs for the kernel's hooks behind one interface.

use super::{
    attach,
    form::Form,
    forms::Forms,
    how::{Hook, How, Mode, New, errno},
    identity::Identity,
    loaded_program::LoadedProgram,
    refused::program_in_words,
    tc,
};
use crate::host::interface::Interface;
use anyhow::{Context as _, Result};
use aya::programs::{ProgramFd, SchedClassifier, links::FdLink, tc::SchedClassifierLink, xdp::XdpLink};
use nix::errno::Errno;
use std::os::fd::AsFd as _;

/// An object's program.
pub(super) enum Filter<'a> {
    /// For XDP.
    Xdp(Forms<'a>),
    /// For tc.
    Tc(&'a mut SchedClassifier),
}

impl Filter<'_> {
    /// The hook that it is for.
    pub(super) const fn hook(&self) -> Hook {
        match self {
            Self::Xdp(_) => Hook::Xdp,
            Self::Tc(_) => Hook::Tc,
        }
    }

    /// Loads it into the kernel, if it isn't loaded; an XDP program in the given form.
    pub(super) fn load(&mut self, form: Form) -> Result<()> {
        match self {
            Self::Xdp(forms) => forms.take(form).map(drop),
            Self::Tc(program) if program.fd().is_err() => program.load().map_err(program_in_words),
            Self::Tc(_) => Ok(()),
        }
    }

    /// The programs that are loaded.
    pub(super) fn loaded(&self) -> Result<Vec<LoadedProgram>> {
        match self {
            Self::Xdp(forms) => forms.loaded(),
            Self::Tc(program) => Ok(vec![LoadedProgram::new(None, program.fd()?)?]),
        }
    }

    /// The identity of the program that would be attached to this interface in this way.
    pub(super) fn identity(&mut self, interface: &Interface, how: How) -> Result<Identity> {
        let descriptor: &ProgramFd = match self {
            Self::Xdp(forms) => forms.take(Form::on(interface, how == How::Native))?.1.fd()?,
            Self::Tc(program) => program.fd()?,
        };
        Identity::of(descriptor.as_fd())
    }

    /// Attaches it to an interface, beside any programs at the hook.
    pub(super) fn attach(&mut self, interface: &Interface, mode: Mode) -> Result<New> {
        match self {
            Self::Xdp(forms) => attach::attach(forms, interface, mode),
            Self::Tc(program) => tc::attach(program, &interface.name),
        }
    }

    /// Replaces the program of a link with this one (BPF_LINK_UPDATE). `false` if the link no longer holds an
    /// interface, or is another hook's. `interface` is the one that it should hold, if it still exists.
    pub(super) fn replace(&mut self, hold: FdLink, interface: Option<&Interface>) -> Result<bool> {
        // Each link object is dropped at once: the pin keeps the link, and so would an open descriptor of this process.
        let replaced = match self {
            Self::Xdp(forms) => {
                let Ok(link) = XdpLink::try_from(hold) else { return Ok(false) };
                let native = |interface: &Interface| interface.xdp.is_some_and(|xdp| xdp.native);
                let form = interface.map_or(Form::Linear, |found| Form::on(found, native(found)));
                let (_, program) = forms.take(form)?;
                program.attach_to_link(link).and_then(|link| program.take_link(link)).map(drop)
            }
            Self::Tc(program) => {
                let Ok(link) = SchedClassifierLink::try_from(hold) else { return Ok(false) };
                program.attach_to_link(link).and_then(|link| program.take_link(link)).map(drop)
            }
        };
        match replaced {
            Ok(()) => Ok(true),
            Err(error) if errno(&error) == Some(Errno::ENOLINK) => Ok(false),
            Err(error) => Err(error).context("can't replace the program"),
        }
    }
}
