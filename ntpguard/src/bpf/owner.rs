//! The owners of programs on an interface, as far as the programs' names show them.

use super::form::Form;
use crate::host::{
    interface::{Interface, Xdp},
    log::tell,
};
use anyhow::{Context as _, Result};
use aya::programs::{SchedClassifier, TcAttachType, loaded_programs};

/// The name of the program with this id; `None` if it is gone, or this user may not ask.
pub fn name(id: u32) -> Option<String> {
    let program = loaded_programs().filter_map(Result::ok).find(|program| program.id() == id)?;
    Some(String::from_utf8_lossy(program.name()).into_owned())
}

/// Names and ids of the programs at an interface's tc ingress, in their order; `None` if the kernel has no tcx, or this
/// user may not ask.
pub fn at_tc(interface: &str) -> Option<Vec<(String, u32)>> {
    let (_, programs) = SchedClassifier::query_tcx(interface, TcAttachType::Ingress).ok()?;
    let named =
        programs.iter().map(|program| (String::from_utf8_lossy(program.name()).into_owned(), program.id()));
    Some(named.collect())
}

/// Whether a program with this name is ntpguard's.
pub fn is_ours(name: &str) -> bool {
    Form::named(name).is_some()
}

/// Describes a program by its name and id.
pub(super) fn shown(id: u32) -> String {
    name(id).map_or_else(|| format!("id {id}"), |name| format!("`{name}`, id {id}"))
}

/// Takes another owner's XDP program off an interface.
///
/// # Errors
/// A BPF link holds it, and only its owner can release that.
pub(super) fn evict(interface: &Interface, xdp: Xdp) -> Result<()> {
    let (name, program) = (&interface.name, shown(xdp.program));
    interface.take_xdp_off(xdp.native).with_context(|| {
        format!(
            "can't take the XDP program {program} off {name}: its owner holds it by a link; stop that (see `bpftool \
             link`), or stand behind it with `--hook tc`"
        )
    })?;
    tell(format_args!("took the XDP program {program} off {name}"));
    Ok(())
}
