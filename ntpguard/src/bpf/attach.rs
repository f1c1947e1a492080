//! Attaching to XDP, and messages for what can go wrong.

use super::{
    form::Form,
    forms::Forms,
    how::{How, Mode, New, errno},
    owner,
};
use crate::host::{
    driver::{self, Native, Obstacle, Setup},
    interface::{self, Interface},
};
use anyhow::{Context as _, Result, bail};
use aya::programs::{ProgramError, Xdp, XdpMode, links::FdLink, xdp::XdpLinkId};
use nix::errno::Errno;
use std::{os::fd::AsFd as _, path::Path};

/// The kernel's message if a driver has no native XDP at all (net/core/dev.c:dev_xdp_attach).
const NO_NATIVE: &str = "Underlying driver does not support XDP in native mode";

/// Predicts whether native XDP works on an interface.
fn foretell(interface: &Interface) -> (Setup, Native) {
    // If the interfaces can't be listed, a bond is judged without its members.
    let all = interface::all().unwrap_or_default();
    let setup = Setup::read(Path::new("/"), &all, interface);
    let native = driver::predict(&setup);
    (setup, native)
}

/// The mode to use for a requested mode: `Auto` becomes `Generic` if the driver would accept the program and never run
/// it.
pub(super) fn settled(interface: &Interface, mode: Mode) -> Mode {
    match mode {
        Mode::Auto if matches!(foretell(interface).1, Native::Ignored(_)) => Mode::Generic,
        _ => mode,
    }
}

/// Attaches to an interface, in the form that fits its driver and the mode.
pub(super) fn attach(forms: &mut Forms<'_>, interface: &Interface, mode: Mode) -> Result<New> {
    let name = &interface.name;
    let fallback = match mode {
        Mode::Generic => None,
        Mode::Auto | Mode::Native => match attach_natively(forms, interface)? {
            Ok(link) => return Ok(New { how: How::Native, fallback: None, link }),
            Err(obstacle) if mode == Mode::Native => bail!("{}", refused(&obstacle)),
            Err(obstacle) => Some(obstacle.why),
        },
    };
    let (_, program) = forms.take(Form::on(interface, false))?;
    let link = program.attach(name, XdpMode::Skb).map_err(|error| in_words(error, name))?;
    Ok(New { how: How::Generic, fallback, link: held(program, link, name)? })
}

/// Attaches in the driver, or returns the obstacle to that. An error is an obstacle to generic XDP, too.
fn attach_natively(forms: &mut Forms<'_>, interface: &Interface) -> Result<Result<FdLink, Obstacle>> {
    let (setup, native) = foretell(interface);
    if let Native::Ignored(obstacle) = native {
        return Ok(Err(obstacle));
    }
    let (_, program) = forms.take(Form::on(interface, true))?;
    let error = match program.attach(&interface.name, XdpMode::Driver) {
        Ok(link) => return held(program, link, &interface.name).map(Ok),
        Err(error) if unsupported(&error) => error,
        Err(error) => return Err(in_words(error, &interface.name)),
    };
    let said = program.fd().ok().and_then(|fd| interface.refusal(fd.as_fd()));
    let errno = errno(&error).map_or("", Errno::desc);
    Ok(Err(obstacle(&setup, &native, said.as_deref(), errno)))
}

/// Why the driver refused: the kernel's message, otherwise what was predicted, otherwise the error number's
/// description.
fn obstacle(setup: &Setup, native: &Native, said: Option<&str>, errno: &str) -> Obstacle {
    let name = &setup.name;
    let foretold = native.obstacle();
    let fix = foretold.and_then(|obstacle| obstacle.fix.clone());
    let why = match (said, foretold) {
        (Some(NO_NATIVE), _) => format!("the driver of {name} has no native XDP"),
        (Some(said), _) => format!("the driver of {name} refuses native XDP: {said}"),
        (None, Some(obstacle)) => obstacle.why.clone(),
        (None, None) => {
            let possible = setup.row().map(driver::Driver::hidden).unwrap_or_default();
            let possible = if possible.is_empty() {
                String::new()
            } else {
                format!("; it may be that {}", possible.join(", or "))
            };
            format!("the driver of {name} refuses native XDP as it is set up ({errno}{possible})")
        }
    };
    Obstacle { why, fix }
}

/// The error message if only native XDP was requested.
fn refused(Obstacle { why, fix }: &Obstacle) -> String {
    match fix {
        Some(fix) => {
            format!("{why}; native XDP needs: {fix}; `--xdp-mode generic` asks nothing of the driver")
        }
        None => format!("{why}; `--xdp-mode generic` asks nothing of the driver"),
    }
}

fn held(program: &mut Xdp, link: XdpLinkId, interface: &str) -> Result<FdLink> {
    let link = FdLink::try_from(program.take_link(link)?);
    link.ok().with_context(|| format!("the kernel has no BPF link for {interface}"))
}

/// Whether the driver has no native XDP, or not in the interface's present configuration: with jumbo frames or many
/// queues.
fn unsupported(error: &ProgramError) -> bool {
    use Errno::{EINVAL, EMSGSIZE, ENODEV, ENOMEM, ENOSPC, ENOTCONN, EOPNOTSUPP, ERANGE};
    matches!(
        errno(error),
        Some(EOPNOTSUPP | EINVAL | ERANGE | EMSGSIZE | ENOMEM | ENOSPC | ENOTCONN | ENODEV)
    )
}

/// Describes what is wrong in any mode, and what to do about it.
fn in_words(error: ProgramError, interface: &str) -> anyhow::Error {
    let words = match errno(&error) {
        Some(Errno::EBUSY | Errno::EEXIST) => {
            let taken = match interface::find(interface).ok().and_then(|interface| interface.xdp) {
                Some(xdp) => {
                    let program = owner::shown(xdp.program);
                    format!("another XDP program holds {interface} ({program}), and only one can")
                }
                // net/core/dev.c:dev_xdp_attach also checks the upper devices.
                None => format!(
                    "an interface that lies on {interface} has an XDP program, and only one of them can"
                ),
            };
            taken
                + "; stop its owner (see `bpftool net`), take it off with --replace, or stand behind it with `--hook tc`"
        }
        Some(Errno::EPERM | Errno::EACCES) => {
            format!("not allowed to attach to {interface}; run as root, or with CAP_NET_ADMIN")
        }
        Some(errno) => format!("{interface} takes no XDP program ({})", errno.desc()),
        None => format!("can't attach to {interface}"),
    };
    anyhow::Error::new(error).context(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(driver: &str) -> Setup {
        Setup { name: "eth0".to_owned(), driver: Some(driver.to_owned()), mtu: 1500, ..Setup::default() }
    }

    #[test]
    fn the_kernels_reason_comes_before_what_was_foretold() {
        let words =
            |driver: &str, native: &Native, said| obstacle(&setup(driver), native, said, "Invalid argument");
        let foretold =
            Native::Refused(Obstacle { why: "the MTU is 9000".to_owned(), fix: Some("ip link".to_owned()) });
        let said = words("igc", &foretold, Some("PF is in reset"));
        assert_eq!(said.why, "the driver of eth0 refuses native XDP: PF is in reset");
        assert_eq!(said.fix.as_deref(), Some("ip link"));
        assert_eq!(words("igc", &foretold, None).why, "the MTU is 9000");
        let silent = words("ixgbe", &Native::Runs, None).why;
        assert!(silent.contains("(Invalid argument; it may be that DCB is on, or "), "{silent}");
        assert!(!silent.contains("has no native XDP"), "{silent}");
        assert_eq!(
            words("e1000e", &Native::Unknown, Some(NO_NATIVE)).why,
            "the driver of eth0 has no native XDP"
        );
    }

    #[test]
    fn advice_is_what_was_foretold_or_generic_xdp() {
        let obstacle = |fix: Option<&str>| Obstacle { why: "why".to_owned(), fix: fix.map(str::to_owned) };
        assert_eq!(refused(&obstacle(None)), "why; `--xdp-mode generic` asks nothing of the driver");
        assert!(refused(&obstacle(Some("ethtool -L"))).contains("native XDP needs: ethtool -L;"));
    }
}
