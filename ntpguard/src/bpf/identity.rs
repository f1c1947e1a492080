//! What a loaded program is to the kernel, as far as that tells two programs apart.

use super::call::{self, call, empty};
use anyhow::{Context as _, Result};
use aya_obj::generated::{bpf_cmd, bpf_prog_info, bpf_prog_type};
use std::{
    collections::BTreeSet,
    mem,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
    path::Path,
};

/// A loaded program. Asked for by a descriptor, never by the id alone, which takes CAP_SYS_ADMIN
/// (kernel/bpf/syscall.c:bpf_prog_get_fd_by_id); the unit doesn't have that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// The kernel's number for it, which no other program gets before the next boot.
    pub(super) id: u32,
    kind: u32,
    /// A hash of its instructions, in which maps don't show (kernel/bpf/core.c:bpf_prog_calc_tag).
    tag: [u8; 8],
    /// At most 15 bytes, then zeros.
    name: [u8; 16],
    maps: BTreeSet<u32>,
}

impl Identity {
    /// Of the program behind a descriptor.
    ///
    /// # Errors
    /// The kernel doesn't tell.
    pub(super) fn of(program: BorrowedFd<'_>) -> Result<Self> {
        let first = info(program, &mut [])?;
        // A program's maps stay what they are, but for those of `bpf_prog_bind_map`, which nobody calls on ours.
        let mut maps = vec![0; first.nr_map_ids as usize];
        let bpf_prog_info { type_: kind, id, tag, name, .. } = info(program, &mut maps)?;
        Ok(Self { id, kind, tag, name: name.map(|byte| byte as u8), maps: maps.into_iter().collect() })
    }

    /// Of the program that is pinned at a path; `None` if there is none, or something else.
    pub(super) fn pinned(path: &Path) -> Option<Self> {
        let program = call::open(path).ok()?;
        let found = Self::of(program.as_fd()).ok()?;
        // A folder that no interface depends on has a map there (`MapFolder::retire`), whose description begins with its type,
        // too: 2, an array, which as a type of program is one that never is pinned here.
        let kinds = [bpf_prog_type::BPF_PROG_TYPE_XDP, bpf_prog_type::BPF_PROG_TYPE_SCHED_CLS];
        kinds.iter().any(|kind| *kind as u32 == found.kind).then_some(found)
    }

    /// Its name.
    pub(super) fn name(&self) -> String {
        String::from_utf8_lossy(&self.name).trim_end_matches('\0').to_owned()
    }

    /// Whether one does what the other does and counts where it counts: the same instructions around the same maps. Each load
    /// of an object makes a map of its own for the read-only values, so in one map they may differ. Those values are sizes
    /// of two of the other maps and nothing else, which a test in `load.rs` makes sure of, so they are equal, too.
    pub(super) fn is_same_code(&self, other: &Self) -> bool {
        (self.kind, self.tag, self.name) == (other.kind, other.tag, other.name)
            && self.maps.len() == other.maps.len()
            && self.maps.difference(&other.maps).count() <= 1
    }
}

/// What the kernel says of a program, and as many ids of its maps as there is room for.
fn info(program: BorrowedFd<'_>, maps: &mut [u32]) -> Result<bpf_prog_info> {
    // SAFETY: integers alone.
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
