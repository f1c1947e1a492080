//! Test runs in which every frame has another source: caches are as cold as a table is large.

use super::{
    Guard, Object, PROGRAM, TestRun, Trie,
    form::Form,
    load::{self, filter},
    test_run,
};
use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader,
    maps::{MapData, ProgramArray},
    programs::Xdp,
};

#[path = "../../../ntpguard-ebpf/src/spread.rs"]
pub mod spread;

/// Which sources frames get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sources {
    /// The first so many of [`spread`], at least 1, in random order.
    Spread(u32),
    /// These bits of the frame's own are random.
    Random(u32),
}

/// A program that goes before the one that is measured.
pub struct Spray {
    ebpf: Ebpf,
    _next: ProgramArray<MapData>,
}

impl Spray {
    /// Loads it before a filter, or before [`Object::Floor`], of which it costs the same.
    ///
    /// # Errors
    /// No right to.
    pub fn before(guard: &Guard, sources: Sources) -> Result<Self> {
        Self::load(&guard.ebpf, sources)
    }

    /// Loads it before a look-up alone.
    ///
    /// # Errors
    /// No right to.
    pub fn before_trie(trie: &Trie, sources: Sources) -> Result<Self> {
        Self::load(&trie.ebpf, sources)
    }

    fn load(target: &Ebpf, sources: Sources) -> Result<Self> {
        let (count, random) = match sources {
            Sources::Spread(count) => (count.clamp(1, spread::MOST), 0),
            Sources::Random(bits) => (0, bits),
        };
        let mut loader = EbpfLoader::new();
        loader.override_global("SOURCES", &count, true).override_global("RANDOM", &random, true);
        let mut ebpf = loader.load(Object::Spray.bytes())?;
        filter(&mut ebpf)?.load(Form::Frags)?;
        let target: &Xdp = target.program(PROGRAM).context("the program")?.try_into()?;
        let mut next = ProgramArray::try_from(ebpf.take_map("NEXT").context("NEXT")?)?;
        next.set(0, target.fd()?, 0).context("a program that no other can go on as")?;
        Ok(Self { ebpf, _next: next })
    }

    /// Runs both programs on a frame, `repeat` times.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn test_run(&self, frame: &[u8], repeat: u32) -> Result<TestRun> {
        test_run::test_run(load::program(&self.ebpf)?, frame, repeat, None)
    }
}
