//! Programs of one instruction, for the cost that any XDP program has.

use super::object::Object;
use anyhow::Result;
use aya::{EbpfLoader, programs::XdpMode};
use ntpguard::bpf::TestRun;

/// The object file of the program that drops.
pub const DROP: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/floor"));
const PASS: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/pass"));

/// A program that drops everything, or passes everything.
pub struct Bare(Object);

impl Bare {
    /// Loads a program that returns XDP_DROP, whose cost measurements subtract.
    ///
    /// # Errors
    /// No right to load a program.
    pub fn dropping() -> Result<Self> {
        Object::load(&mut EbpfLoader::new(), DROP).map(Self)
    }

    /// Loads a program that returns XDP_PASS.
    ///
    /// # Errors
    /// No right to load a program.
    pub fn passing() -> Result<Self> {
        Object::load(&mut EbpfLoader::new(), PASS).map(Self)
    }

    /// Attaches it to an interface in native mode, for as long as this value lives.
    ///
    /// # Errors
    /// There is no such interface, or it has another program.
    pub fn attach(&mut self, interface: &str) -> Result<()> {
        self.0.program_mut()?.attach(interface, XdpMode::Driver)?;
        Ok(())
    }

    /// The kernel's id of the program.
    ///
    /// # Errors
    /// The kernel doesn't report it.
    pub fn id(&self) -> Result<u32> {
        self.0.id()
    }

    /// Like [`ntpguard::bpf::Guard::test_run`].
    ///
    /// # Errors
    /// The same as those of that function.
    pub fn test_run(&self, frame: &[u8], repeat: u32) -> Result<TestRun> {
        self.0.test_run(frame, repeat)
    }
}
