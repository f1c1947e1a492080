//! A flood from made-up addresses, for measurements in namespaces.

use super::{Object, PROGRAM};
use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader, TestRun as _, TestRunOptions,
    programs::{TestRunAttrs, Xdp},
};
use std::time::Duration;

/// How many frames the kernel makes at once.
const BATCH: u32 = 64;

/// A program that sends.
pub struct Flood {
    ebpf: Ebpf,
}

impl Flood {
    /// Loads it. Frames will go out of an interface, by its index, with random bits of the source address.
    ///
    /// # Errors
    /// No right to.
    pub fn load(interface: u32, random: u32) -> Result<Self> {
        let mut loader = EbpfLoader::new();
        loader.override_global("INTERFACE", &interface, true).override_global("RANDOM", &random, true);
        let mut ebpf = loader.load(Object::Flood.bytes())?;
        let program: &mut Xdp = ebpf.program_mut(PROGRAM).context("the program")?.try_into()?;
        program.load()?;
        Ok(Self { ebpf })
    }

    /// Sends a frame so many times, and returns the mean time for one. In the namespace of the calling thread.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn run(&self, frame: &[u8], count: u32) -> Result<Duration> {
        let program: &Xdp = self.ebpf.program(PROGRAM).context("the program")?.try_into()?;
        let options = TestRunOptions {
            data_in: Some(frame),
            repeat: count,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
            ..Default::default()
        };
        Ok(program.test_run(options)?.duration)
    }
}
