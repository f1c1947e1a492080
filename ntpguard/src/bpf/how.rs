//! Where a program stands, and how it got there.

use aya::programs::{
    ProgramError,
    links::{FdLink, LinkType},
};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::{error::Error, fmt, io};

/// Where the program stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
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

/// How to attach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Native where the driver has it, else generic, and say so.
    #[default]
    Auto,
    /// In the driver, before the kernel has spent anything on the packet.
    Native,
    /// In the stack: works everywhere, at a multiple of the cost.
    Generic,
}

impl Mode {
    /// Whether the program may come to run in the driver.
    pub fn may_be_native(self) -> bool {
        self != Self::Generic
    }

    /// Its name on the command line and in outputs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::Generic => "generic",
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
