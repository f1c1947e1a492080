//! An object of `tests/ebpf`, and its program.

use super::loaded::run;
use anyhow::{Context as _, Result};
use aya::{Ebpf, EbpfLoader, programs::Xdp};
use ntpguard::bpf::TestRun;

/// The name of the program in each of them.
const PROGRAM: &str = "ntpguard";

/// An object's maps and its loaded program.
pub(super) struct Object(pub(super) Ebpf);

impl Object {
    pub(super) fn load(loader: &mut EbpfLoader<'_>, bytes: &[u8]) -> Result<Self> {
        let mut object = Self(loader.load(bytes)?);
        object.program_mut()?.load()?;
        Ok(object)
    }

    pub(super) fn program(&self) -> Result<&Xdp> {
        Ok(self.0.program(PROGRAM).context("the object has no program")?.try_into()?)
    }

    pub(super) fn program_mut(&mut self) -> Result<&mut Xdp> {
        Ok(self.0.program_mut(PROGRAM).context("the object has no program")?.try_into()?)
    }

    /// The program's id.
    pub(super) fn id(&self) -> Result<u32> {
        Ok(self.program()?.info()?.id())
    }

    pub(super) fn test_run(&self, frame: &[u8], repeat: u32) -> Result<TestRun> {
        run(self.program()?, frame, repeat)
    }
}
