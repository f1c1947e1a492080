//! A flood from forged addresses, for measurements in namespaces.

use super::object::Object;
use anyhow::{Context as _, Result};
use aya::{EbpfLoader, TestRun as _, TestRunOptions, maps::PerCpuArray, programs::TestRunAttrs};
use std::time::Duration;

const FLOOD: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/flood"));

/// Number of frames in the kernel's batches.
const BATCH: u32 = 64;

/// A program that sends frames.
pub struct Flood(Object);

impl Flood {
    /// Loads the program. It sends frames out of the interface with this index; `random` are the bits of the source address
    /// that vary.
    ///
    /// # Errors
    /// No right to load a program.
    pub fn load(interface: u32, random: u32) -> Result<Self> {
        Self::paced(interface, random, 0)
    }

    /// The same with at most `rate` frames a second; 0 means no limit. With a limit, a run keeps the core busy between
    /// frames too, and sends only those of its frames that are due.
    ///
    /// # Errors
    /// No right to load a program.
    pub fn paced(interface: u32, random: u32, rate: u32) -> Result<Self> {
        let interval = 1_000_000_000_u32.checked_div(rate).unwrap_or(0);
        let mut loader = EbpfLoader::new();
        loader.override_global("INTERFACE", &interface, true).override_global("RANDOM", &random, true);
        loader.override_global("INTERVAL", &interval, true);
        Object::load(&mut loader, FLOOD).map(Self)
    }

    /// Sends a frame `count` times in the namespace of the calling thread, and returns the mean time of a frame.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn run(&self, frame: &[u8], count: u32) -> Result<Duration> {
        let options = TestRunOptions {
            data_in: Some(frame),
            repeat: count,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
            ..Default::default()
        };
        Ok(self.0.program()?.test_run(options)?.duration)
    }

    /// Number of frames sent so far.
    ///
    /// # Errors
    /// The kernel doesn't report it.
    pub fn sent(&self) -> Result<u64> {
        let pace: PerCpuArray<_, [u64; 2]> = self.0.0.map("PACE").context("PACE")?.try_into()?;
        Ok(pace.get(&0, 0)?.iter().map(|[_, sent]| sent).sum())
    }
}
