//! Whose program an interface has.

use super::load::PROGRAM;
use aya::programs::loaded_programs;

/// The name of the program of an id; `None` if it is gone, or this user may not look.
pub fn name(id: u32) -> Option<String> {
    let program = loaded_programs().filter_map(Result::ok).find(|program| program.id() == id)?;
    Some(String::from_utf8_lossy(program.name()).into_owned())
}

/// Whether the program of that name is this filter, as far as a name tells.
pub fn is_ours(name: &str) -> bool {
    name == PROGRAM
}
