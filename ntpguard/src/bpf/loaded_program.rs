//! A loaded program.

use super::{form::Form, identity::Identity};
use anyhow::{Context as _, Result};
use aya::programs::ProgramFd;
use std::os::fd::AsFd as _;

/// A descriptor of a loaded program, independent of its aya object.
pub(super) struct LoadedProgram {
    /// Its form; `None` for a tc program.
    pub(super) form: Option<Form>,
    /// The kernel's id of the program.
    pub(super) id: u32,
    /// A descriptor of the program.
    pub(super) program: ProgramFd,
}

impl LoadedProgram {
    pub(super) fn new(form: Option<Form>, program: &ProgramFd) -> Result<Self> {
        let program = program.try_clone().context("no descriptor for the program")?;
        Ok(Self { form, id: Identity::of(program.as_fd())?.id, program })
    }
}
