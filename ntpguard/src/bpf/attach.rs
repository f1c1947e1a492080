//! Attaching, and the words for what can go wrong.

use super::pins::Pins;
use crate::interface::{self, Interface};
use anyhow::{Context as _, Result, bail};
use aya::programs::{
    ProgramError, Xdp, XdpMode,
    links::{FdLink, PinnedLink},
    xdp::{XdpLink, XdpLinkId},
};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::{error::Error, io, path::Path};

/// How to attach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize, Serialize)]
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

/// How it came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Native or generic.
    pub mode: Mode,
    /// Why it is generic, though native was preferred.
    pub fallback: Option<String>,
    /// It was attached before, and only the program behind it was replaced.
    pub taken_over: bool,
}

/// Attaches to an interface: with a hold that is pinned, or one that goes with the program.
pub(super) fn attach(
    program: &mut Xdp,
    interface: &str,
    mode: Mode,
    pins: Option<&Pins>,
) -> Result<(Attached, Option<FdLink>)> {
    let found = interface::find(interface)?;
    if found.loopback {
        bail!(
            "{interface} is this host's loopback: no packet from outside arrives there; name the network card"
        );
    }
    if !found.ethernet {
        bail!(
            "{interface} is no Ethernet interface, and ntpguard reads Ethernet frames; name the network card"
        );
    }
    if let Some(pins) = pins
        && let Some(attached) = take_over(program, &found, mode, pins)?
    {
        return Ok((attached, None));
    }
    let driver = match mode {
        Mode::Generic => None,
        Mode::Auto | Mode::Native => Some(program.attach(interface, XdpMode::Driver)),
    };
    let fallback = match driver {
        Some(Ok(link)) => {
            let held = hold(program, link, &found, pins)?;
            return Ok((Attached { mode: Mode::Native, fallback: None, taken_over: false }, held));
        }
        Some(Err(error)) if mode == Mode::Auto && unsupported(&error) => Some(cause(&error, interface)),
        Some(Err(error)) => return Err(in_words(error, interface)),
        None => None,
    };
    let link = program.attach(interface, XdpMode::Skb).map_err(|error| in_words(error, interface))?;
    let held = hold(program, link, &found, pins)?;
    Ok((Attached { mode: Mode::Generic, fallback, taken_over: false }, held))
}

/// Replaces the program behind a hold that is pinned, without a gap. `None` if there is no such hold any more.
fn take_over(program: &mut Xdp, interface: &Interface, mode: Mode, pins: &Pins) -> Result<Option<Attached>> {
    let path = pins.link(interface.index)?;
    if !path.exists() {
        return Ok(None);
    }
    let native = interface.xdp.is_some_and(|xdp| xdp.native);
    // The kernel has no two modes on an interface at once, so there is no way without a gap.
    let other = mode == Mode::Native && !native || mode == Mode::Generic && native;
    if !other && update(program, &path)? {
        let mode = if native { Mode::Native } else { Mode::Generic };
        return Ok(Some(Attached { mode, fallback: None, taken_over: true }));
    }
    pins.release(interface.index)?;
    Ok(None)
}

/// Puts the program behind a pinned hold; `false` if that holds no interface any more, or isn't one.
pub(super) fn update(program: &mut Xdp, path: &Path) -> Result<bool> {
    let Ok(pinned) = PinnedLink::from_pin(path) else { return Ok(false) };
    let Ok(link) = XdpLink::try_from(FdLink::from(pinned)) else { return Ok(false) };
    match program.attach_to_link(link) {
        Ok(link) => {
            // The pin holds on; a descriptor of ours would, too.
            drop(program.take_link(link)?);
            Ok(true)
        }
        Err(error) if errno(&error) == Some(Errno::ENOLINK) => Ok(false),
        Err(error) => {
            Err(anyhow::Error::new(error)
                .context(format!("can't replace the program behind {}", path.display())))
        }
    }
}

/// Pins a new hold, if it is to stay; else it is the caller's.
fn hold(
    program: &mut Xdp,
    link: XdpLinkId,
    interface: &Interface,
    pins: Option<&Pins>,
) -> Result<Option<FdLink>> {
    let link = FdLink::try_from(program.take_link(link)?);
    let link = link.ok().with_context(|| format!("the kernel has no BPF link for {}", interface.name))?;
    let Some(pins) = pins else { return Ok(Some(link)) };
    let path = pins.link(interface.index)?;
    link.pin(&path).with_context(|| format!("can't pin {}", path.display()))?;
    Ok(None)
}

/// Whether the driver can't, or can't as the interface is set up: with jumbo frames or many queues.
fn unsupported(error: &ProgramError) -> bool {
    use Errno::{EINVAL, EMSGSIZE, ENOMEM, ENOSPC, EOPNOTSUPP, ERANGE};
    matches!(errno(error), Some(EOPNOTSUPP | EINVAL | ERANGE | EMSGSIZE | ENOMEM | ENOSPC))
}

/// What is wrong, and what to do about it.
fn in_words(error: ProgramError, interface: &str) -> anyhow::Error {
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
