//! A flood from made-up addresses, for measurements in namespaces.

use super::object::Object;
use anyhow::{Context as _, Result};
use aya::{EbpfLoader, TestRun as _, TestRunOptions, maps::PerCpuArray, programs::TestRunAttrs};
use std::time::Duration;

const FLOOD: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/flood"));

/// How many frames the kernel makes at once.
const BATCH: u32 = 64;

/// A program that sends.
pub struct Flood(Object);

impl Flood {
    /// Loads it. Frames will go out of an interface, by its index, with random bits of the source address.
    ///
    /// # Errors
    /// No right to.
    pub fn load(interface: u32, random: u32) -> Result<Self> {
        Self::paced(interface, random, 0)
    }

    /// The same with at most `rate` frames a second; 0 is no bound. Runs then take up the core in between, too, and of
    /// the frames that they are told to send only those go out that are due.
    ///
    /// # Errors
    /// No right to.
    pub fn paced(interface: u32, random: u32, rate: u32) -> Result<Self> {
        let interval = 1_000_000_000_u32.checked_div(rate).unwrap_or(0);
        let mut loader = EbpfLoader::new();
        loader.override_global("INTERFACE", &interface, true).override_global("RANDOM", &random, true);
        loader.override_global("INTERVAL", &interval, true);
        Object::load(&mut loader, FLOOD).map(Self)
    }

    /// Sends a frame `count` times, and returns the mean time for one. In the namespace of the calling thread.
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

    /// How many frames have gone out so far.
    ///
    /// # Errors
    /// The kernel doesn't report it.
    pub fn sent(&self) -> Result<u64> {
        let pace: PerCpuArray<_, [u64; 2]> = self.0.0.map("PACE").context("PACE")?.try_into()?;
        Ok(pace.get(&0, 0)?.iter().map(|[_, sent]| sent).sum())
    }
}
