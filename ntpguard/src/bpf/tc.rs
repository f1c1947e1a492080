//! Attaching at tc's ingress, and the words for what can go wrong.
//!
//! By tcx alone (Linux 6.6), whose hold is a link as XDP's: it goes with the process or stays pinned, and the program
//! behind it is replaced in place. Before, a filter of a clsact qdisc would do, but nothing holds it: it stays when the
//! process is killed, and nobody can tell whose it is.

use super::how::{How, New, errno};
use anyhow::{Context as _, Result};
use aya::programs::{
    LinkOrder, ProgramError, SchedClassifier, TcAttachType, links::FdLink, tc::TcAttachOptions,
};
use nix::{errno::Errno, sys::utsname::uname};

/// Attaches, before all that are there: what is dropped costs them nothing, and what passes they still see.
pub(super) fn attach(program: &mut SchedClassifier, interface: &str) -> Result<New> {
    let order = TcAttachOptions::TcxOrder(LinkOrder::first());
    let link = program
        .attach_with_options(interface, TcAttachType::Ingress, order)
        .map_err(|error| in_words(error, interface))?;
    let link = FdLink::try_from(program.take_link(link)?).ok().context("tcx gave no link")?;
    Ok(New { how: How::Tcx, fallback: None, link })
}

/// The programs at tc's ingress of an interface that links hold there, by their ids and in their order.
///
/// # Errors
/// The kernel doesn't tell, or there is no such interface.
pub fn at_tc(interface: &str) -> Result<Vec<u32>> {
    let (_, programs) = SchedClassifier::query_tcx(interface, TcAttachType::Ingress)
        .with_context(|| format!("the kernel doesn't tell what is attached to {interface} (tcx)"))?;
    Ok(programs.iter().map(|program| program.id()).collect())
}

/// What is wrong, and what to do about it.
fn in_words(error: ProgramError, interface: &str) -> anyhow::Error {
    let words = match errno(&error) {
        Some(Errno::EPERM | Errno::EACCES) => {
            format!("not allowed to attach to {interface}; run as root, or with CAP_NET_ADMIN")
        }
        // A kernel that doesn't know the hook calls it an invalid argument.
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
