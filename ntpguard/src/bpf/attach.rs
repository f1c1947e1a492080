//! Attaching, and the words for what can go wrong.

use anyhow::{Result, anyhow, bail};
use aya::programs::{ProgramError, Xdp, XdpMode};
use nix::{errno::Errno, net::if_::if_nameindex};
use std::{error::Error, io};

/// How to attach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
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
    /// Its name on the command line and in outputs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// How it came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Native or generic.
    pub mode: Mode,
    /// Generic only because the driver has no native XDP.
    pub fallback: bool,
}

pub(super) fn attach(program: &mut Xdp, interface: &str, mode: Mode) -> Result<Attached> {
    if interface == "lo" {
        bail!("lo is this host's loopback: no packet from outside arrives there; name the network card");
    }
    let mut try_mode = |mode| program.attach(interface, mode).map(|_| ());
    let outcome = match mode {
        Mode::Native => try_mode(XdpMode::Driver).map(|()| (Mode::Native, false)),
        Mode::Generic => try_mode(XdpMode::Skb).map(|()| (Mode::Generic, false)),
        Mode::Auto => match try_mode(XdpMode::Driver) {
            Err(error) if errno(&error) == Some(Errno::EOPNOTSUPP) => {
                try_mode(XdpMode::Skb).map(|()| (Mode::Generic, true))
            }
            other => other.map(|()| (Mode::Native, false)),
        },
    };
    match outcome {
        Ok((mode, fallback)) => Ok(Attached { mode, fallback }),
        Err(error) => Err(in_words(error, interface)),
    }
}

fn in_words(error: ProgramError, interface: &str) -> anyhow::Error {
    if let ProgramError::UnknownInterface { .. } = error {
        return anyhow!("there is no interface {interface}; there are: {}", interfaces());
    }
    let advice = match errno(&error) {
        Some(Errno::EBUSY | Errno::EEXIST) => format!(
            "another XDP program holds {interface}, and only one can: see `ip link show dev {interface}` and \
             `bpftool net`, and stop its owner"
        ),
        Some(Errno::EOPNOTSUPP) => {
            format!("the driver of {interface} has no native XDP: use `--xdp-mode generic`, or `auto`")
        }
        Some(Errno::ERANGE | Errno::EMSGSIZE) => format!(
            "the driver of {interface} refuses XDP at this MTU: lower it (`ip link set dev {interface} mtu …`), or \
             use `--xdp-mode generic`"
        ),
        Some(Errno::EPERM | Errno::EACCES) => {
            format!("not allowed to attach to {interface}: run as root, or with CAP_NET_ADMIN")
        }
        _ => format!("can't attach to {interface}"),
    };
    anyhow::Error::new(error).context(advice)
}

/// The system call's errno, wherever in the chain of causes it is.
fn errno(error: &ProgramError) -> Option<Errno> {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        if let Some(code) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return Some(Errno::from_raw(code));
        }
        cause = error.source();
    }
    None
}

fn interfaces() -> String {
    let names =
        if_nameindex().map(|all| all.iter().map(|one| one.name().to_string_lossy().into_owned()).collect());
    names.map_or_else(|error| error.to_string(), |names: Vec<_>| names.join(", "))
}
