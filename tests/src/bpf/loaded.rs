//! Programs and maps that any process has loaded, looked up by id.

use anyhow::{Context as _, Result, anyhow, bail};
use aya::{
    TestRun as _, TestRunOptions,
    maps::loaded_maps,
    programs::{ProgramInfo, Xdp, loaded_programs},
};
use aya_obj::programs::XdpAttachType;
use ntpguard::bpf::TestRun;
use ntpguard_common::Action;
use std::{
    fs,
    os::fd::{AsFd as _, AsRawFd as _},
};

/// A loaded XDP program.
pub struct Loaded(pub(super) Xdp);

impl Loaded {
    /// Opens the program with this id.
    ///
    /// # Errors
    /// The program is gone, or isn't an XDP program.
    pub fn open(id: u32) -> Result<Self> {
        Ok(Self(Xdp::from_program_info(info(id)?, "loaded".into(), XdpAttachType::Interface)?))
    }

    /// Like [`ntpguard::bpf::Guard::test_run`].
    ///
    /// # Errors
    /// The same as those of that function.
    pub fn test_run(&self, frame: &[u8], repeat: u32) -> Result<TestRun> {
        run(&self.0, frame, repeat)
    }
}

/// Runs a program on a frame `repeat` times.
pub(super) fn run(program: &Xdp, frame: &[u8], repeat: u32) -> Result<TestRun> {
    let mut out = vec![0; frame.len()];
    let options =
        TestRunOptions { data_in: Some(frame), data_out: Some(&mut out), repeat, ..Default::default() };
    let result = program.test_run(options)?;
    let action = match result.return_value {
        1 => Action::Drop,
        2 => Action::Pass,
        3 => Action::Transmit,
        other => bail!("the program answered {other}"),
    };
    Ok(TestRun { action, duration: result.duration, frame: out })
}

/// The kernel's figures about a program that don't depend on the machine's speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Instructions that the verifier processed.
    pub verified: u32,
    /// Length of the translated instructions in bytes.
    pub translated: u32,
    /// Length of the machine code in bytes; 0 without a JIT.
    pub jitted: u32,
    /// The kernel's hash of the instructions (its tag).
    pub tag: u64,
}

impl Figures {
    /// The figures of the program with this id, of any type.
    ///
    /// # Errors
    /// The program is gone, or the kernel doesn't report them (before 5.16).
    pub fn of(id: u32) -> Result<Self> {
        let info = info(id)?;
        let reported = |figure: Option<u32>| figure.ok_or_else(|| anyhow!("the kernel doesn't report it"));
        Ok(Self {
            verified: reported(info.verified_instruction_count())?,
            translated: reported(info.size_translated())?,
            jitted: info.size_jitted(),
            tag: info.tag(),
        })
    }
}

fn info(id: u32) -> Result<ProgramInfo> {
    let found = loaded_programs().filter_map(Result::ok).find(|info| info.id() == id);
    found.with_context(|| format!("there is no program {id}"))
}

/// The id of the newest map.
pub fn newest_map() -> u32 {
    loaded_maps().filter_map(Result::ok).map(|info| info.id()).max().unwrap_or_default()
}

/// The memory in bytes of all maps created after that one, by any process, as the kernel reports it in /proc/self/fdinfo.
///
/// # Errors
/// No right to open maps.
pub fn memory_since(newest: u32) -> Result<u64> {
    let mut sum = 0;
    for info in loaded_maps().filter_map(Result::ok).filter(|info| info.id() > newest) {
        // A map that is gone uses no memory.
        let Ok(map) = info.fd() else { continue };
        let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", map.as_fd().as_raw_fd()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("memlock:")).context("no memlock")?;
        sum += line.trim().parse::<u64>()?;
    }
    Ok(sum)
}
