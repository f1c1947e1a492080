//! Whose programs an interface has, as far as their names tell.

use super::load::PROGRAM;
use aya::programs::{SchedClassifier, TcAttachType, loaded_programs};

/// The name of the program of an id; `None` if it is gone, or this user may not look.
pub fn name(id: u32) -> Option<String> {
    let program = loaded_programs().filter_map(Result::ok).find(|program| program.id() == id)?;
    Some(String::from_utf8_lossy(program.name()).into_owned())
}

/// Names and ids of the programs at an interface's tc ingress, in their order; `None` if the kernel has no tcx, or
/// this user may not look.
pub fn at_tc(interface: &str) -> Option<Vec<(String, u32)>> {
    let (_, programs) = SchedClassifier::query_tcx(interface, TcAttachType::Ingress).ok()?;
    let named =
        programs.iter().map(|program| (String::from_utf8_lossy(program.name()).into_owned(), program.id()));
    Some(named.collect())
}

/// Whether a program of that name is ntpguard's.
pub fn is_ours(name: &str) -> bool {
    name == PROGRAM
}
