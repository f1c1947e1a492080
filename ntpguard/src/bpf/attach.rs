//! Attaching to XDP, and the words for what can go wrong.

use super::{
    form::Form,
    forms::Forms,
    hook::{How, New, errno},
    owner,
};
use crate::interface::{self, Interface};
use anyhow::{Context as _, Result};
use aya::programs::{ProgramError, Xdp, XdpMode, links::FdLink, xdp::XdpLinkId};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

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

/// Attaches to an interface, in the form that fits its driver and the mode.
pub(super) fn attach(forms: &mut Forms<'_>, found: &Interface, mode: Mode) -> Result<New> {
    let interface = found.name.as_str();
    let driver = match mode {
        Mode::Generic => None,
        Mode::Auto | Mode::Native => {
            let (_, program) = forms.take(Form::on(found, true))?;
            match program.attach(interface, XdpMode::Driver) {
                Ok(link) => {
                    let link = held(program, link, interface)?;
                    return Ok(New { how: How::Native, fallback: None, link });
                }
                Err(error) => Some(error),
            }
        }
    };
    let fallback = match driver {
        Some(error) if mode == Mode::Auto && unsupported(&error) => Some(cause(&error, interface)),
        Some(error) => return Err(in_words(error, interface)),
        None => None,
    };
    let (_, program) = forms.take(Form::on(found, false))?;
    let link = program.attach(interface, XdpMode::Skb).map_err(|error| in_words(error, interface))?;
    Ok(New { how: How::Generic, fallback, link: held(program, link, interface)? })
}

fn held(program: &mut Xdp, link: XdpLinkId, interface: &str) -> Result<FdLink> {
    let link = FdLink::try_from(program.take_link(link)?);
    link.ok().with_context(|| format!("the kernel has no BPF link for {interface}"))
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
            "; stop its owner (see `bpftool net`), take it off with --replace, or stand behind it with `--hook tc`"
                .to_owned()
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
            match interface::find(interface).ok().and_then(|interface| interface.xdp) {
                Some(xdp) => {
                    let program = owner::shown(xdp.program);
                    format!("another XDP program holds {interface} ({program}), and only one can")
                }
                // net/core/dev.c:dev_xdp_attach looks at those above, too.
                None => format!(
                    "an interface that lies on {interface} has an XDP program, and only one of them can"
                ),
            }
        }
        Some(Errno::EOPNOTSUPP) => format!("the driver of {interface} has no native XDP"),
        Some(Errno::EPERM | Errno::EACCES) => format!("not allowed to attach to {interface}"),
        Some(errno) => format!("{interface} takes no XDP program as it is set up ({})", errno.desc()),
        None => format!("can't attach to {interface}"),
    }
}
