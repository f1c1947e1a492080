//! The kernel's hooks where the program can stand, and the programs for them behind one face.

use super::{
    attach::{self, Mode},
    form::Form,
    forms::{Forms, Instance},
    identity::Identity,
    load::program_in_words,
    tc,
};
use crate::host::interface::Interface;
use anyhow::{Context as _, Result};
use aya::programs::{
    ProgramError, ProgramFd, SchedClassifier,
    links::{FdLink, LinkType},
    tc::SchedClassifierLink,
    xdp::XdpLink,
};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::{error::Error, fmt, io, os::fd::AsFd as _};

/// Where the program stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// On the interface itself: the least that a packet can cost. Takes one program an interface.
    #[default]
    Xdp,
    /// At tc's ingress, behind XDP and before the stack, beside others (tcx, Linux 6.6): where XDP is taken or not to be
    /// had.
    Tc,
}

impl Hook {
    /// Its name on the command line and in outputs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xdp => "xdp",
            Self::Tc => "tc",
        }
    }

    /// The one that a link of the kernel's holds on to.
    pub(super) const fn of(link: LinkType) -> Option<Self> {
        match link {
            LinkType::Xdp => Some(Self::Xdp),
            LinkType::Tcx => Some(Self::Tc),
            _ => None,
        }
    }
}

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// XDP, in the driver.
    Native,
    /// XDP, in the stack.
    Generic,
    /// tc's ingress, by a link.
    Tcx,
}

impl How {
    /// At which hook.
    pub const fn hook(self) -> Hook {
        match self {
            Self::Native | Self::Generic => Hook::Xdp,
            Self::Tcx => Hook::Tc,
        }
    }

    /// In which mode of XDP.
    pub const fn mode(self) -> Option<&'static str> {
        match self {
            Self::Native => Some(Mode::Native.name()),
            Self::Generic => Some(Mode::Generic.name()),
            Self::Tcx => None,
        }
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mode() {
            Some(mode) => write!(f, "{mode} XDP"),
            None => f.write_str("tc (tcx)"),
        }
    }
}

/// A program that was just attached.
pub(super) struct New {
    /// How.
    pub(super) how: How,
    /// Why it is generic, though native was preferred.
    pub(super) fallback: Option<String>,
    /// What holds it there.
    pub(super) link: FdLink,
}

/// The program of an object.
pub(super) enum Filter<'a> {
    /// For XDP.
    Xdp(Forms<'a>),
    /// For tc.
    Tc(&'a mut SchedClassifier),
}

impl Filter<'_> {
    /// Where it can stand.
    pub(super) const fn hook(&self) -> Hook {
        match self {
            Self::Xdp(_) => Hook::Xdp,
            Self::Tc(_) => Hook::Tc,
        }
    }

    /// Hands it to the kernel, if it isn't there: an XDP program in one of its forms.
    pub(super) fn load(&mut self, form: Form) -> Result<()> {
        match self {
            Self::Xdp(forms) => forms.take(form).map(drop),
            Self::Tc(program) if program.fd().is_err() => program.load().map_err(program_in_words),
            Self::Tc(_) => Ok(()),
        }
    }

    /// The programs that are loaded.
    pub(super) fn loaded(&self) -> Result<Vec<Instance>> {
        match self {
            Self::Xdp(forms) => forms.loaded(),
            Self::Tc(program) => Ok(vec![Instance::new(None, program.fd()?)?]),
        }
    }

    /// What the program is to the kernel, as it would be put before an interface.
    pub(super) fn identity(&mut self, interface: &Interface, how: How) -> Result<Identity> {
        let descriptor: &ProgramFd = match self {
            Self::Xdp(forms) => forms.take(Form::on(interface, how == How::Native))?.1.fd()?,
            Self::Tc(program) => program.fd()?,
        };
        Identity::of(descriptor.as_fd())
    }

    /// Attaches it, beside what is there.
    pub(super) fn attach(&mut self, interface: &Interface, mode: Mode) -> Result<New> {
        match self {
            Self::Xdp(forms) => attach::attach(forms, interface, mode),
            Self::Tc(program) => tc::attach(program, &interface.name),
        }
    }

    /// Puts it behind a hold, in place of the program there (BPF_LINK_UPDATE); `false` if that holds no interface any
    /// more, or is another hook's. `interface` is the one that it should hold, if there is one.
    pub(super) fn replace(&mut self, hold: FdLink, interface: Option<&Interface>) -> Result<bool> {
        // Each link is dropped at once: what is pinned holds on, and a descriptor of ours would, too.
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

/// Whether attaching failed because another program is there.
pub(super) fn is_taken(error: &anyhow::Error) -> bool {
    let errno = error.downcast_ref::<ProgramError>().and_then(errno);
    matches!(errno, Some(Errno::EBUSY | Errno::EEXIST))
}

/// The system call's errno, wherever in the chain of causes it is.
pub(super) fn errno(error: &ProgramError) -> Option<Errno> {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        if let Some(code) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return Some(Errno::from_raw(code));
        }
        cause = error.source();
    }
    None
}
