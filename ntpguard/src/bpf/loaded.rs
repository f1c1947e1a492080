//! Programs and maps that others have loaded, looked at by their numbers: for measurements.

use super::{TestRun, test_run};
use anyhow::{Context as _, Result};
use aya::{
    maps::loaded_maps,
    programs::{Program, Xdp, loaded_programs},
};
use aya_obj::programs::XdpAttachType;
use std::{
    fs,
    os::fd::{AsFd as _, AsRawFd as _},
};

/// An XDP program of somebody else's.
pub struct Loaded {
    program: Program,
}

impl Loaded {
    /// Opens it by its id.
    ///
    /// # Errors
    /// It is gone, or none of XDP's.
    pub fn open(id: u32) -> Result<Self> {
        let info = loaded_programs().filter_map(Result::ok).find(|info| info.id() == id);
        let info = info.with_context(|| format!("there is no program {id}"))?;
        let program = Xdp::from_program_info(info, "loaded".into(), XdpAttachType::Interface)?;
        Ok(Self { program: Program::Xdp(program) })
    }

    /// As [`super::Guard::test_run`].
    ///
    /// # Errors
    /// As there.
    pub fn test_run(&self, frame: &[u8], repeat: u32) -> Result<TestRun> {
        test_run::test_run(&self.program, frame, repeat, None)
    }
}

/// The number of the map that was made last.
pub fn newest_map() -> u32 {
    loaded_maps().filter_map(Result::ok).map(|info| info.id()).max().unwrap_or_default()
}

/// How many bytes the maps take that were made after that one, by whomever, as the kernel counts them in
/// /proc/self/fdinfo.
///
/// # Errors
/// No right to.
pub fn memory_since(newest: u32) -> Result<u64> {
    let mut sum = 0;
    for info in loaded_maps().filter_map(Result::ok).filter(|info| info.id() > newest) {
        // One that is gone takes none.
        let Ok(map) = info.fd() else { continue };
        let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", map.as_fd().as_raw_fd()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("memlock:")).context("no memlock")?;
        sum += line.trim().parse::<u64>()?;
    }
    Ok(sum)
}
