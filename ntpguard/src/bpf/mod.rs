//! The only user of aya: loads the program, installs an image, attaches, reads counters.
//!
//! Contract: [`Guard::load`] leaves nothing attached; [`Guard::install`] puts a whole image in force with one
//! update; dropping the guard detaches it from every interface.

mod attach;
#[cfg(feature = "lab")]
mod flood;
mod install;
mod running;
mod table;
mod trace;

pub use attach::{Attached, Mode, interface_index, transmits};
#[cfg(feature = "lab")]
pub use flood::Flood;
pub use running::Running;
pub use table::Table;

use crate::{compile::Image, stats::Snapshot};
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use aya::{
    Ebpf, EbpfError, EbpfLoader, TestRun as _, TestRunOptions,
    maps::{Array, MapError, PerCpuArray},
    programs::{ProgramError, Xdp},
};
use nix::errno::Errno;
use ntpguard_common::{
    Action, Reason,
    abi::{CAUSES, Counter},
    hash::Seed,
    heavy::Heavy,
    sources::Set,
};
use std::{
    hash::{BuildHasher as _, RandomState},
    io,
    time::Duration,
};

/// The program's name in the object, and in `bpftool prog`.
const PROGRAM: &str = "ntpguard";

/// Which of the embedded objects to load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// The filter.
    Filter,
    /// The filter that logs every packet to port 123.
    Trace,
    /// A bare XDP_DROP: what measurements subtract.
    Floor,
    /// Frames from random sources: what measurements are driven with.
    #[cfg(feature = "lab")]
    Flood,
}

impl Object {
    /// The ELF file, as the build script made it.
    pub fn bytes(self) -> &'static [u8] {
        match self {
            Self::Filter => aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/ntpguard-xdp")),
            Self::Trace => aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/ntpguard-xdp-trace")),
            #[cfg(feature = "lab")]
            Self::Flood => aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/ntpguard-xdp-flood")),
            Self::Floor => aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/ntpguard-xdp-floor")),
        }
    }
}

/// A loaded filter.
pub struct Guard {
    ebpf: Ebpf,
    /// As many as the counters have room for.
    rules: usize,
    /// The secret of the table of sources.
    seed: Seed,
}

impl Guard {
    /// Loads the program, with room to count the hits of so many rules and to remember so many sources.
    ///
    /// # Errors
    /// No right to, or a kernel that refuses the program.
    pub fn load(object: Object, rules: usize, sources: u32) -> Result<Self> {
        let hits = u32::try_from(rules * CAUSES.len()).context("more rules than a map can count")?;
        let sets = Set::count(sources);
        let mut loader = EbpfLoader::new();
        loader.map_max_entries("HITS", hits).map_max_entries("SOURCES", sets);
        loader.override_global("SETS", &sets, object != Object::Floor);
        let mut ebpf = loader.load(object.bytes()).map_err(in_words)?;
        xdp(&mut ebpf)?.load().map_err(program_in_words)?;
        let secret = RandomState::new();
        let seed = [0, 1, 2].map(|word: u32| secret.hash_one(word));
        Ok(Self { ebpf, rules, seed })
    }

    /// Puts the image in force, both families and all settings at once.
    ///
    /// # Errors
    /// The kernel refuses a map, or the image has more rules than there are counters; what was in force stays.
    pub fn install(&mut self, image: &Image) -> Result<()> {
        ensure!(
            image.rules.len() <= self.rules,
            "{} rules, and counters for {}",
            image.rules.len(),
            self.rules
        );
        install::install(&mut self.ebpf, image, self.seed)
    }

    /// Forgets all sources.
    ///
    /// # Errors
    /// The kernel refuses to write the table.
    pub fn forget(&mut self) -> Result<()> {
        let map =
            self.ebpf.map_mut("SOURCES").ok_or_else(|| anyhow!("the object has no table of sources"))?;
        let mut sets: Array<_, [u64; size_of::<Set>() / 8]> = map.try_into()?;
        (0..sets.len()).try_for_each(|set| Ok(sets.set(set, [0; size_of::<Set>() / 8], 0)?))
    }

    /// The secret of the table of sources.
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// The table of sources.
    ///
    /// # Errors
    /// The object has none, or the kernel refuses to map it.
    pub fn sources(&self) -> Result<Table<Set>> {
        Table::map(&self.ebpf, "SOURCES")
    }

    /// The table of those that may be limited most.
    ///
    /// # Errors
    /// As [`Guard::sources`].
    pub fn heavy(&self) -> Result<Table<Heavy>> {
        Table::map(&self.ebpf, "HEAVY")
    }

    /// Attaches to an interface and says how.
    ///
    /// # Errors
    /// No such interface, another XDP program, a driver without XDP: in words that say what to do.
    pub fn attach(&mut self, interface: &str, mode: Mode) -> Result<Attached> {
        attach::attach(xdp(&mut self.ebpf)?, interface, mode)
    }

    /// What was counted so far, summed over all CPUs, and the hits of so many rules, a system call each.
    ///
    /// # Errors
    /// The kernel refuses to read a map.
    pub fn counters(&self, rules: usize) -> Result<Snapshot> {
        let read = |name: &str, count: usize| -> Result<Vec<Counter>> {
            let map = self.ebpf.map(name).ok_or_else(|| anyhow!("the object has no map {name}"))?;
            let array: PerCpuArray<_, Counter> = map.try_into()?;
            (0..count as u32).map(|index| Ok(array.get(&index, 0)?.iter().copied().sum())).collect()
        };
        let rules = rules.min(self.rules);
        Ok(Snapshot { reasons: read("REASONS", Reason::COUNT)?, hits: read("HITS", rules * CAUSES.len())? })
    }

    /// Starts telling the lines that [`Object::Trace`] logs; `causes` are the lines of ntp.conf, by
    /// [`ntpguard_common::abi::hit`].
    ///
    /// # Errors
    /// The object has no log.
    pub fn trace(&mut self, causes: Vec<Option<String>>) -> Result<()> {
        trace::start(&mut self.ebpf, causes)
    }

    /// Runs the program on a frame `repeat` times, attached or not, and counts as for a frame from a wire
    /// (BPF_PROG_TEST_RUN). `linear` is the length of the first buffer where that is to be chosen (Linux 6.18).
    ///
    /// # Errors
    /// The kernel refuses: a frame under 14 bytes, no right to.
    pub fn test_run(&mut self, frame: &[u8], repeat: u32, linear: Option<u32>) -> Result<TestRun> {
        test_run(xdp(&mut self.ebpf)?, frame, repeat, linear)
    }

    /// How many instructions the verifier walked.
    ///
    /// # Errors
    /// The kernel doesn't tell (before 5.16).
    pub fn verified_instructions(&mut self) -> Result<u32> {
        let info = xdp(&mut self.ebpf)?.info()?;
        info.verified_instruction_count().ok_or_else(|| anyhow!("the kernel doesn't tell"))
    }
}

/// What a test run came to.
#[derive(Clone, Debug)]
pub struct TestRun {
    /// XDP_DROP, XDP_PASS or XDP_TX.
    pub action: Action,
    /// Mean time for one run, in whole nanoseconds.
    pub duration: Duration,
    /// The frame after it.
    pub frame: Vec<u8>,
}

/// BPF_PROG_TEST_RUN.
fn test_run(program: &Xdp, frame: &[u8], repeat: u32, linear: Option<u32>) -> Result<TestRun> {
    // struct xdp_md: data, data_end, then four words that must be zero.
    let context = linear.map(|length| {
        let mut context = [0; 24];
        context[4..8].copy_from_slice(&length.to_ne_bytes());
        context
    });
    // A kiss is no longer than its request.
    let mut out = vec![0; frame.len()];
    let options = TestRunOptions {
        data_in: Some(frame),
        data_out: Some(&mut out),
        ctx_in: context.as_ref().map(<[u8; 24]>::as_slice),
        repeat,
        ..Default::default()
    };
    let result = program.test_run(options)?;
    let action = match result.return_value {
        1 => Action::Drop,
        2 => Action::Pass,
        3 => Action::Transmit,
        other => bail!("the program answered {other}"),
    };
    Ok(TestRun { action, duration: result.duration, frame: out })
}

fn xdp(ebpf: &mut Ebpf) -> Result<&mut Xdp> {
    let program = ebpf.program_mut(PROGRAM).ok_or_else(|| anyhow!("the object has no program {PROGRAM}"))?;
    Ok(program.try_into()?)
}

/// What to do about a failed load of the object.
fn in_words(error: EbpfError) -> anyhow::Error {
    match &error {
        EbpfError::MapError(MapError::CreateError { io_error, .. }) if is_forbidden(io_error) => forbidden(),
        _ => anyhow::Error::new(error).context("the BPF object can't be loaded"),
    }
}

/// What to do about a program that the kernel refuses.
fn program_in_words(error: ProgramError) -> anyhow::Error {
    match &error {
        ProgramError::LoadError { io_error, .. } if is_forbidden(io_error) => forbidden(),
        _ => anyhow::Error::new(error)
            .context("the kernel refuses the XDP program (Linux 6.1 or newer is needed); please report this"),
    }
}

fn is_forbidden(error: &io::Error) -> bool {
    // Not EACCES, which is also the verifier's word for a bad access.
    error.raw_os_error() == Some(Errno::EPERM as i32)
}

fn forbidden() -> anyhow::Error {
    anyhow!("not allowed to load BPF programs: run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON")
}
