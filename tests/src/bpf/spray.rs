//! Test runs in which every frame has another source: caches are as cold as a table is large.

use super::{loaded::Loaded, object::Object};
use anyhow::{Context as _, Result};
use aya::{
    EbpfLoader,
    maps::{MapData, ProgramArray},
};
use ntpguard::bpf::TestRun;
use ntpguard_tests_ebpf::spread;

const SPRAY: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/spray"));

/// Which sources frames get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sources {
    /// The first N of [`spread`], at least 1, in random order.
    Spread(u32),
    /// These bits of the frame's own are random.
    Random(u32),
}

/// A program that goes before the one that is measured.
pub struct Spray {
    object: Object,
    _next: ProgramArray<MapData>,
}

impl Spray {
    /// Loads it before an XDP program for frames in several buffers, by its number.
    ///
    /// # Errors
    /// No right to, or the program is gone.
    pub fn before(program: u32, sources: Sources) -> Result<Self> {
        let (count, random) = match sources {
            Sources::Spread(count) => (count.clamp(1, spread::MOST), 0),
            Sources::Random(bits) => (0, bits),
        };
        let mut loader = EbpfLoader::new();
        loader.override_global("SOURCES", &count, true).override_global("RANDOM", &random, true);
        let mut object = Object::load(&mut loader, SPRAY)?;
        let mut next = ProgramArray::try_from(object.0.take_map("NEXT").context("NEXT")?)?;
        next.set(0, Loaded::open(program)?.0.fd()?, 0).context("a program that no other can go on as")?;
        Ok(Self { object, _next: next })
    }

    /// Runs both programs on a frame, `repeat` times.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn test_run(&self, frame: &[u8], repeat: u32) -> Result<TestRun> {
        self.object.test_run(frame, repeat)
    }
}
