//! bpf(2) itself, for commands that aya lacks.

use anyhow::{Context as _, Result};
use aya::maps::MapData;
use aya_obj::generated::{bpf_attr, bpf_cmd};
use nix::{errno::Errno, libc};
use std::{
    mem,
    os::fd::{AsFd as _, AsRawFd as _},
};

/// Takes a map out of an array of maps, and waits until nobody reads it.
///
/// # Errors
/// There is none at this index.
pub(super) fn take_out(data: &MapData, index: u32) -> Result<()> {
    let mut attr = empty();
    attr.__bindgen_anon_2.map_fd = data.fd().as_fd().as_raw_fd() as u32;
    attr.__bindgen_anon_2.key = &raw const index as u64;
    call(bpf_cmd::BPF_MAP_DELETE_ELEM, &mut attr).context("BPF_MAP_DELETE_ELEM: can't take out a map")?;
    Ok(())
}

pub(super) fn empty() -> bpf_attr {
    // SAFETY: integers alone.
    unsafe { mem::zeroed() }
}

pub(super) fn call(command: bpf_cmd, attr: &mut bpf_attr) -> nix::Result<i32> {
    // SAFETY: every command that is called writes to `attr` and to what it points to, which outlives the call.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command as libc::c_long, &raw mut *attr, size_of::<bpf_attr>())
    };
    Errno::result(result).map(|result| result as i32)
}
