//! A guard that runs in another process: finds its program in the kernel, tests it and reads its counters.

use super::{PROGRAM, Pins, TestRun, maps::snapshot, owner::is_ours, test_run::test_run};
use crate::bpf::snapshot::Snapshot;
use anyhow::{Context as _, Result, bail};
use aya::{
    maps::{Map, MapData, MapInfo, MapType, PerCpuArray},
    programs::{Program, ProgramInfo, SchedClassifier, Xdp, loaded_programs},
};
use aya_obj::programs::XdpAttachType;
use ntpguard_common::{
    Reason,
    abi::{BANKS, Counter, ROWS},
};

/// A loaded program that another process attached.
pub struct Running {
    program: Program,
    reasons: PerCpuArray<MapData, Counter>,
}

impl Running {
    /// Finds the program; with `pins`, the one that counts in the maps pinned there.
    ///
    /// # Errors
    /// There is none, there are several, or the kernel doesn't report them.
    pub fn find(pins: Option<&Pins>) -> Result<Self> {
        let place = pins.map(Pins::current).transpose()?.flatten();
        let pinned = place.and_then(|place| place.info("REASONS")).map(|info| info.id());
        let mut found: Vec<ProgramInfo> = Vec::new();
        for program in loaded_programs() {
            // A program that is unloaded during the search is skipped.
            found.extend(program.ok().filter(|program| program.name_as_str().is_some_and(is_ours)));
        }
        let mut all = Vec::new();
        for info in found {
            let maps = info.map_ids()?.context("the kernel doesn't tell a program's maps")?;
            let reasons = maps.into_iter().filter_map(|id| MapInfo::from_id(id).ok()).find(counts_reasons);
            let reasons = reasons.context("the ntpguard that runs is of another version")?;
            if pins.is_some() && pinned != Some(reasons.id()) {
                continue;
            }
            // Instances of one guard count in the same maps, so any one of them will do.
            if !all.iter().any(|(_, other): &(_, MapInfo)| other.id() == reasons.id()) {
                all.push((info, reasons));
            }
        }
        let (info, reasons) = match <[_; 1]>::try_from(all) {
            Ok([one]) => one,
            Err(none) if none.is_empty() => {
                bail!(
                    "no ntpguard runs {}: start `ntpguard run`, or name a --config",
                    if pins.is_some() { "there" } else { "here" }
                )
            }
            Err(several) => {
                bail!("{} ntpguards run here: --pin-path says which one is meant", several.len())
            }
        };
        let reasons = MapData::from_id(reasons.id())?;
        let program = if info.program_type() == SchedClassifier::PROGRAM_TYPE.into() {
            Program::SchedClassifier(SchedClassifier::from_program_info(info, PROGRAM.into())?)
        } else {
            Program::Xdp(Xdp::from_program_info(info, PROGRAM.into(), XdpAttachType::Interface)?)
        };
        Ok(Self { program, reasons: Map::PerCpuArray(reasons).try_into()? })
    }

    /// Like [`super::Guard::test_run`]; the packet is counted like one from the network.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn test_run(&self, frame: &[u8]) -> Result<TestRun> {
        test_run(&self.program, frame, 1, None)
    }

    /// Like [`super::Maps::counters`], without hits.
    ///
    /// # Errors
    /// The kernel refuses to read the map.
    pub fn counters(&self) -> Result<Snapshot> {
        snapshot(u64::MAX, &self.reasons)
    }
}

/// Whether a map is the one for the counters of reasons, in this version.
fn counts_reasons(info: &MapInfo) -> bool {
    info.name_as_str() == Some("REASONS")
        && info.value_size() as usize == size_of::<Counter>()
        && info.max_entries() as usize == (BANKS * ROWS) as usize * Reason::COUNT
        && matches!(info.map_type(), Ok(MapType::PerCpuArray))
}
