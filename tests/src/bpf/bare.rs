//! Programs of one instruction: what any XDP program costs.

use super::object::Object;
use anyhow::Result;
use aya::{EbpfLoader, programs::XdpMode};
use ntpguard::bpf::TestRun;

/// The object of the one that drops.
pub const DROP: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/floor"));
const PASS: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/pass"));

/// A program that drops everything, or passes everything.
pub struct Bare(Object);

impl Bare {
    /// Loads an XDP_DROP: what measurements subtract.
    ///
    /// # Errors
    /// No right to.
    pub fn dropping() -> Result<Self> {
        Object::load(&mut EbpfLoader::new(), DROP).map(Self)
    }

    /// Loads an XDP_PASS.
    ///
    /// # Errors
    /// No right to.
    pub fn passing() -> Result<Self> {
        Object::load(&mut EbpfLoader::new(), PASS).map(Self)
    }

    /// Attaches it in an interface's driver, for as long as it lives.
    ///
    /// # Errors
    /// No such interface, or another program is there.
    pub fn attach(&mut self, interface: &str) -> Result<()> {
        self.0.program_mut()?.attach(interface, XdpMode::Driver)?;
        Ok(())
    }

    /// The kernel's number for it.
    ///
    /// # Errors
    /// The kernel doesn't report it.
    pub fn id(&self) -> Result<u32> {
        self.0.id()
    }

    /// As [`ntpguard::bpf::Guard::test_run`].
    ///
    /// # Errors
    /// As there.
    pub fn test_run(&self, frame: &[u8], repeat: u32) -> Result<TestRun> {
        self.0.test_run(frame, repeat)
    }
}
