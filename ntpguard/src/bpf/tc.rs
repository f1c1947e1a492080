//! Attaching at tc's ingress, and messages for what can go wrong.
//!
//! Only tcx (Linux 6.6) is used. A tcx program is held by a link, like an XDP program: the link ends with the process
//! or is pinned, and the program is replaced in place. On older kernels a filter of a clsact qdisc would work, but
//! nothing holds it: it stays if the process is killed, and its owner can't be determined.

use super::how::{How, New, errno};
use anyhow::{Context as _, Result};
use aya::programs::{
    LinkOrder, ProgramError, SchedClassifier, TcAttachType, links::FdLink, tc::TcAttachOptions,
};
use nix::{errno::Errno, sys::utsname::uname};

/// Attaches before all programs that are there: packets dropped here cost them nothing, and they still see those that
/// pass.
pub(super) fn attach(program: &mut SchedClassifier, interface: &str) -> Result<New> {
    let order = TcAttachOptions::TcxOrder(LinkOrder::first());
    let link = program
        .attach_with_options(interface, TcAttachType::Ingress, order)
        .map_err(|error| in_words(error, interface))?;
    let link = FdLink::try_from(program.take_link(link)?).ok().context("tcx gave no link")?;
    Ok(New { how: How::Tcx, fallback: None, link })
}

/// The ids of the programs that links hold at an interface's tc ingress, in their order.
///
/// # Errors
/// The kernel doesn't report it, or there is no such interface.
pub fn at_tc(interface: &str) -> Result<Vec<u32>> {
    let (_, programs) = SchedClassifier::query_tcx(interface, TcAttachType::Ingress)
        .with_context(|| format!("the kernel doesn't tell what is attached to {interface} (tcx)"))?;
    Ok(programs.iter().map(|program| program.id()).collect())
}

/// What is wrong, and what to do about it, in words.
fn in_words(error: ProgramError, interface: &str) -> anyhow::Error {
    let words = match errno(&error) {
        Some(Errno::EPERM | Errno::EACCES) => {
            format!("not allowed to attach to {interface}; run as root, or with CAP_NET_ADMIN")
        }
        // A kernel that doesn't know the hook reports an invalid argument.
        Some(Errno::EINVAL) => {
            let release = uname().map(|name| name.release().to_string_lossy().into_owned());
            format!(
                "this kernel ({}) has no tcx, which `--hook tc` needs: Linux 6.6 or newer; `--xdp-mode generic` asks \
                 nothing of the driver either",
                release.unwrap_or_default()
            )
        }
        // include/linux/bpf_mprog.h:BPF_MPROG_MAX.
        Some(Errno::ERANGE) => format!("{interface} has as many tc programs as it can; see `bpftool net`"),
        _ => format!("can't attach to {interface}"),
    };
    anyhow::Error::new(error).context(words)
}
