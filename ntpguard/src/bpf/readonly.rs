//! Maps for users who may only read them.
//!
//! aya opens a pin for reading and writing. That requires write permission for its file, and a user with that could
//! also install a policy. So this module opens a pin with read permission only, and reads whole maps through system
//! calls: the kernel lets only those map a map's memory who may write it ([`bpf_map_mmap` requires VM_SHARED, which a
//! read-only descriptor doesn't get](https://github.com/torvalds/linux/blob/v6.12/kernel/bpf/syscall.c#L1011)).

use super::call::{call, empty};
use anyhow::{Context as _, Result, ensure};
use aya::maps::MapData;
use aya_obj::generated::{BPF_F_RDONLY, bpf_cmd};
use nix::errno::Errno;
use std::{
    ffi::CString,
    os::{
        fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
    ptr::NonNull,
};

/// Values read in a call: some hundred KiB, which the kernel copies without a pause.
const BATCH: u32 = 1 << 12;

/// Opens a pinned map for reading.
///
/// # Errors
/// There is none, or this user may not read it.
pub(super) fn open(path: &Path) -> Result<MapData> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = empty();
    attr.__bindgen_anon_4.pathname = name.as_ptr() as u64;
    attr.__bindgen_anon_4.file_flags = BPF_F_RDONLY;
    let opened = call(bpf_cmd::BPF_OBJ_GET, &mut attr);
    let descriptor = opened.with_context(|| format!("BPF_OBJ_GET: can't read {}", path.display()))?;
    // SAFETY: it is a new descriptor that nothing else owns.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    Ok(MapData::from_fd(descriptor)?)
}

/// Copies `count` values of an array map, from index `first` on, to memory.
///
/// # Safety
/// There must be room for all of them at `values`, and any bits must be valid there.
pub(super) unsafe fn copy<T>(data: &MapData, first: u32, count: u32, values: NonNull<T>) -> Result<()> {
    let (mut keys, mut done) = (vec![0_u32; BATCH as usize], 0);
    while done < count {
        let wanted = BATCH.min(count - done);
        // The kernel begins after the given key, or at index 0 without one.
        let before = (first + done).checked_sub(1);
        let mut last = 0_u32;
        let mut attr = empty();
        attr.batch.in_batch = before.as_ref().map_or(0, |before| &raw const *before as u64);
        attr.batch.out_batch = &raw mut last as u64;
        attr.batch.keys = keys.as_mut_ptr() as u64;
        // SAFETY: it stays within the memory that the caller guarantees.
        attr.batch.values = unsafe { values.add(done as usize) }.as_ptr() as u64;
        attr.batch.count = wanted;
        attr.batch.map_fd = data.fd().as_fd().as_raw_fd() as u32;
        match call(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut attr) {
            // ENOENT means that the map's end was reached, which is no error.
            Ok(_) | Err(Errno::ENOENT) => (),
            Err(errno) => return Err(errno).context("BPF_MAP_LOOKUP_BATCH: can't read a map"),
        }
        // SAFETY: these are integers, which the kernel has filled in.
        let copied = unsafe { attr.batch.count };
        ensure!(copied == wanted, "the kernel has shown {copied} values of a map instead of {wanted}");
        done += wanted;
    }
    Ok(())
}
