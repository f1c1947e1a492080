//! Test runs in which every frame has a different source: the larger the table, the colder the caches.

use super::{loaded::Loaded, object::Object};
use anyhow::{Context as _, Result};
use aya::{
    EbpfLoader,
    maps::{MapData, ProgramArray},
};
use ntpguard::bpf::TestRun;
use ntpguard_tests_ebpf::spread;

const SPRAY: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/spray"));

/// The sources that frames get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sources {
    /// The first N sources of [`spread`], at least 1, in random order.
    Spread(u32),
    /// The frame's own source, with these bits random.
    Random(u32),
}

/// A program that rewrites the source and then tail-calls the program that is measured.
pub struct Spray {
    object: Object,
    _next: ProgramArray<MapData>,
}

impl Spray {
    /// Loads it in front of the XDP program with this id, which has to support frames in several buffers.
    ///
    /// # Errors
    /// No right to load a program, or the measured program is gone.
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

    /// Runs both programs on a frame `repeat` times.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn test_run(&self, frame: &[u8], repeat: u32) -> Result<TestRun> {
        self.object.test_run(frame, repeat)
    }
}
