//! Attaching, and the words for what can go wrong.

use anyhow::{Context as _, Result, anyhow, bail};
use aya::programs::{ProgramError, Xdp, XdpMode};
use nix::{
    errno::Errno,
    ifaddrs::getifaddrs,
    net::if_::{if_nameindex, if_nametoindex},
};
use std::{error::Error, io, path::Path};

/// include/uapi/linux/if_arp.h
const ARPHRD_ETHER: u16 = 1;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Native or generic.
    pub mode: Mode,
    /// Why it is generic, though native was preferred.
    pub fallback: Option<String>,
}

/// Whether an interface can send what came in by it (XDP_TX). Generic XDP can everywhere, drivers of hardware do; of
/// the drivers of virtual interfaces some do if the other end is set up for it (veth), some don't.
pub fn transmits(interface: &str, mode: Mode) -> bool {
    mode == Mode::Generic || Path::new("/sys/class/net").join(interface).join("device").exists()
}

/// The index of an interface, if there is one of this name now.
pub fn interface_index(interface: &str) -> Option<u32> {
    if_nametoindex(interface).ok()
}

pub(super) fn attach(program: &mut Xdp, interface: &str, mode: Mode) -> Result<Attached> {
    if interface == "lo" {
        bail!("lo is this host's loopback: no packet from outside arrives there; name the network card");
    }
    if !is_ethernet(interface)? {
        bail!(
            "{interface} is no Ethernet interface, and ntpguard reads Ethernet frames; name the network card"
        );
    }
    let driver = match mode {
        Mode::Generic => None,
        Mode::Auto | Mode::Native => Some(program.attach(interface, XdpMode::Driver)),
    };
    let fallback = match driver {
        Some(Ok(_)) => return Ok(Attached { mode: Mode::Native, fallback: None }),
        Some(Err(error)) if mode == Mode::Auto && unsupported(&error) => Some(cause(&error, interface)),
        Some(Err(error)) => return Err(in_words(error, interface)),
        None => None,
    };
    program.attach(interface, XdpMode::Skb).map_err(|error| in_words(error, interface))?;
    Ok(Attached { mode: Mode::Generic, fallback })
}

/// Whether the driver can't, or can't as the interface is set up: with jumbo frames or many queues.
fn unsupported(error: &ProgramError) -> bool {
    use Errno::{EINVAL, EMSGSIZE, ENOMEM, ENOSPC, EOPNOTSUPP, ERANGE};
    matches!(errno(error), Some(EOPNOTSUPP | EINVAL | ERANGE | EMSGSIZE | ENOMEM | ENOSPC))
}

/// Whether frames on it begin with an Ethernet header.
fn is_ethernet(interface: &str) -> Result<bool> {
    let mut addresses =
        getifaddrs().context("can't list the interfaces")?.filter(|one| one.interface_name == interface);
    let link =
        addresses.find_map(|one| one.address.as_ref().and_then(|address| address.as_link_addr()).copied());
    match link {
        Some(link) => Ok(link.hatype() == ARPHRD_ETHER),
        // A tunnel may have no link-layer address at all.
        None if interface_index(interface).is_some() => Ok(false),
        None => Err(no_such(interface)),
    }
}

fn no_such(interface: &str) -> anyhow::Error {
    anyhow!("there is no interface {interface}; there are: {}", interfaces())
}

/// What is wrong, and what to do about it.
fn in_words(error: ProgramError, interface: &str) -> anyhow::Error {
    if let ProgramError::UnknownInterface { .. } = error {
        return no_such(interface);
    }
    let advice = match errno(&error) {
        Some(Errno::EBUSY | Errno::EEXIST) => {
            format!("; see `ip link show dev {interface}` and `bpftool net`, and stop its owner")
        }
        Some(Errno::EPERM | Errno::EACCES) => "; run as root, or with CAP_NET_ADMIN".to_owned(),
        _ if unsupported(&error) => format!(
            "; `--xdp-mode generic` asks nothing of the driver, and a lower MTU or fewer queues may help native \
             (`ip link set dev {interface} mtu …`, `ethtool --set-channels {interface} …`)"
        ),
        _ => String::new(),
    };
    let words = cause(&error, interface) + &advice;
    anyhow::Error::new(error).context(words)
}

/// What is wrong.
fn cause(error: &ProgramError, interface: &str) -> String {
    match errno(error) {
        Some(Errno::EBUSY | Errno::EEXIST) => {
            format!("another XDP program holds {interface}, and only one can")
        }
        Some(Errno::EOPNOTSUPP) => format!("the driver of {interface} has no native XDP"),
        Some(Errno::EPERM | Errno::EACCES) => format!("not allowed to attach to {interface}"),
        Some(errno) => format!("{interface} takes no XDP program as it is set up ({})", errno.desc()),
        None => format!("can't attach to {interface}"),
    }
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
