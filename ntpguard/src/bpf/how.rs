//! The hook at which a program is attached, and the mode.

use aya::programs::{
    ProgramError,
    links::{FdLink, LinkType},
};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::{error::Error, fmt, io};

/// The hook of the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// XDP, on the interface itself: the lowest possible cost for a packet. Takes one program per interface.
    #[default]
    Xdp,
    /// tc's ingress, after XDP and before the network stack, beside other programs (tcx, Linux 6.6): for interfaces
    /// where XDP is taken or not available.
    Tc,
}

impl Hook {
    /// The hook's name on the command line and in outputs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xdp => "xdp",
            Self::Tc => "tc",
        }
    }

    /// The hook that a link of the kernel attaches to.
    pub(super) const fn of(link: LinkType) -> Option<Self> {
        match link {
            LinkType::Xdp => Some(Self::Xdp),
            LinkType::Tcx => Some(Self::Tc),
            _ => None,
        }
    }
}

/// The mode of XDP to attach in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Native if the driver supports it; otherwise generic, with a message.
    #[default]
    Auto,
    /// In the driver, before the kernel has spent anything on the packet.
    Native,
    /// In the network stack: works everywhere, at a multiple of the cost.
    Generic,
}

impl Mode {
    /// Whether the program may run in the driver.
    pub fn may_be_native(self) -> bool {
        self != Self::Generic
    }

    /// The mode's name on the command line and in outputs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// How a program is attached: hook and mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// XDP, in the driver.
    Native,
    /// XDP, in the network stack.
    Generic,
    /// tc's ingress, by a tcx link.
    Tcx,
}

impl How {
    /// The hook.
    pub const fn hook(self) -> Hook {
        match self {
            Self::Native | Self::Generic => Hook::Xdp,
            Self::Tcx => Hook::Tc,
        }
    }

    /// The mode of XDP; `None` at tc.
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
    /// The hook and mode.
    pub(super) how: How,
    /// Why XDP is generic although native was preferred.
    pub(super) fallback: Option<String>,
    /// The link that holds it there.
    pub(super) link: FdLink,
}

/// Whether attaching failed because of another program there.
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
