//! What the kernel reports of a loaded program, as far as it distinguishes two programs.

use super::call::{self, call, empty};
use anyhow::{Context as _, Result};
use aya_obj::generated::{bpf_cmd, bpf_prog_info, bpf_prog_type};
use std::{
    collections::BTreeSet,
    mem,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
    path::Path,
};

/// The identity of a loaded program. Requested through a descriptor, never by the id alone: that requires CAP_SYS_ADMIN
/// (kernel/bpf/syscall.c:bpf_prog_get_fd_by_id), which the systemd unit doesn't have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// The kernel's id of the program, unique until the next boot.
    pub(super) id: u32,
    kind: u32,
    /// A hash of its instructions, which doesn't depend on its maps (kernel/bpf/core.c:bpf_prog_calc_tag).
    tag: [u8; 8],
    /// At most 15 bytes, padded with zeros.
    name: [u8; 16],
    maps: BTreeSet<u32>,
}

impl Identity {
    /// The identity of the program behind a descriptor.
    ///
    /// # Errors
    /// The kernel doesn't report it.
    pub(super) fn of(program: BorrowedFd<'_>) -> Result<Self> {
        let first = info(program, &mut [])?;
        // A program's maps don't change between the two calls: only `bpf_prog_bind_map` could add one, and nothing
        // calls that for these programs.
        let mut maps = vec![0; first.nr_map_ids as usize];
        let bpf_prog_info { type_: kind, id, tag, name, .. } = info(program, &mut maps)?;
        Ok(Self { id, kind, tag, name: name.map(|byte| byte as u8), maps: maps.into_iter().collect() })
    }

    /// The identity of the program pinned at a path; `None` if there is none, or something else is pinned.
    pub(super) fn pinned(path: &Path) -> Option<Self> {
        let program = call::open(path).ok()?;
        let found = Self::of(program.as_fd()).ok()?;
        // A map may be pinned there instead (`MapFolder::retire`). Its description also begins with its type: 2 for an
        // array, which as a program type is one that is never pinned here.
        let kinds = [bpf_prog_type::BPF_PROG_TYPE_XDP, bpf_prog_type::BPF_PROG_TYPE_SCHED_CLS];
        kinds.iter().any(|kind| *kind as u32 == found.kind).then_some(found)
    }

    /// The program's name.
    pub(super) fn name(&self) -> String {
        String::from_utf8_lossy(&self.name).trim_end_matches('\0').to_owned()
    }

    /// Whether both programs do the same and count in the same maps: they have the same instructions and use the same
    /// maps. One map may differ, since each load of an object creates its own map for the read-only values. These
    /// values are only the sizes of two of the other maps, which a test in `load.rs` verifies, so they are equal, too.
    pub(super) fn is_same_code(&self, other: &Self) -> bool {
        (self.kind, self.tag, self.name) == (other.kind, other.tag, other.name)
            && self.maps.len() == other.maps.len()
            && self.maps.difference(&other.maps).count() <= 1
    }
}

/// What the kernel reports of a program; `maps` receives as many ids of its maps as there is room for.
fn info(program: BorrowedFd<'_>, maps: &mut [u32]) -> Result<bpf_prog_info> {
    // SAFETY: the struct consists of integers.
    let mut info: bpf_prog_info = unsafe { mem::zeroed() };
    info.nr_map_ids = maps.len() as u32;
    info.map_ids = maps.as_mut_ptr() as u64;
    let mut attr = empty();
    attr.info.bpf_fd = program.as_raw_fd() as u32;
    attr.info.info_len = size_of::<bpf_prog_info>() as u32;
    attr.info.info = &raw mut info as u64;
    call(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr)
        .context("BPF_OBJ_GET_INFO_BY_FD: can't ask for a program")?;
    Ok(info)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(tag: u8, name: &[u8], maps: &[u32]) -> Identity {
        let mut padded = [0; 16];
        padded[..name.len()].copy_from_slice(name);
        Identity { id: 7, kind: 6, tag: [tag; 8], name: padded, maps: maps.iter().copied().collect() }
    }

    #[test]
    fn the_same_code_has_the_same_instructions_and_all_maps_but_one() {
        let this = one(1, b"ntpguard", &[1, 2, 3, 10]);
        assert_eq!(this.name(), "ntpguard");
        for (other, same) in [
            (one(1, b"ntpguard", &[1, 2, 3, 10]), true),
            (one(1, b"ntpguard", &[1, 2, 3, 11]), true),
            (one(1, b"ntpguard", &[1, 2, 4, 11]), false),
            (one(1, b"ntpguard", &[1, 2, 3]), false),
            (one(2, b"ntpguard", &[1, 2, 3, 11]), false),
            (one(1, b"ntpguard_linear", &[1, 2, 3, 11]), false),
        ] {
            assert_eq!(this.is_same_code(&other), same, "{other:?}");
        }
    }
}
