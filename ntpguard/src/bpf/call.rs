//! bpf(2) directly, for commands that aya lacks.

use anyhow::{Context as _, Result};
use aya::maps::MapData;
use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_link_info};
use nix::{errno::Errno, libc};
use std::{
    ffi::CString,
    fs, mem,
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

/// Removes a map from an array of maps, and waits until no program reads it.
///
/// # Errors
/// There is no map at this index.
pub(super) fn take_out(data: &MapData, index: u32) -> Result<()> {
    let mut attr = empty();
    attr.__bindgen_anon_2.map_fd = data.fd().as_fd().as_raw_fd() as u32;
    attr.__bindgen_anon_2.key = &raw const index as u64;
    call(bpf_cmd::BPF_MAP_DELETE_ELEM, &mut attr).context("BPF_MAP_DELETE_ELEM: can't take out a map")?;
    Ok(())
}

/// Opens whatever is pinned at a path, for reading and writing.
///
/// # Errors
/// Nothing is pinned there, or this user may not open it.
pub(super) fn open(path: &Path) -> nix::Result<OwnedFd> {
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    let mut attr = empty();
    attr.__bindgen_anon_4.pathname = name.as_ptr() as u64;
    let opened = call(bpf_cmd::BPF_OBJ_GET, &mut attr)?;
    // SAFETY: it is a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(opened) })
}

/// Pins an object at a path that doesn't exist yet.
///
/// # Errors
/// The path exists, or this user may not pin there.
pub(super) fn pin(object: BorrowedFd<'_>, path: &Path) -> Result<()> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = empty();
    attr.__bindgen_anon_4.pathname = name.as_ptr() as u64;
    attr.__bindgen_anon_4.bpf_fd = object.as_raw_fd() as u32;
    call(bpf_cmd::BPF_OBJ_PIN, &mut attr).with_context(|| format!("can't pin {}", path.display()))?;
    Ok(())
}

/// The id of a link's program.
///
/// # Errors
/// The kernel doesn't report it.
pub(super) fn link_program(link: BorrowedFd<'_>) -> Result<u32> {
    link_info(link).map(|info| info.prog_id)
}

/// The program with an id. Requires CAP_SYS_ADMIN.
///
/// # Errors
/// There is none, or this process may not open it.
pub(super) fn program(id: u32) -> nix::Result<OwnedFd> {
    let mut attr = empty();
    attr.__bindgen_anon_6.__bindgen_anon_1.prog_id = id;
    let opened = call(bpf_cmd::BPF_PROG_GET_FD_BY_ID, &mut attr)?;
    // SAFETY: it is a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(opened) })
}

/// The kernel's id of a link.
///
/// # Errors
/// The kernel doesn't report it.
pub(super) fn link_id(link: BorrowedFd<'_>) -> Result<u32> {
    link_info(link).map(|info| info.id)
}

fn link_info(link: BorrowedFd<'_>) -> Result<bpf_link_info> {
    // SAFETY: the struct consists of integers.
    let mut info: bpf_link_info = unsafe { mem::zeroed() };
    let mut attr = empty();
    attr.info.bpf_fd = link.as_raw_fd() as u32;
    attr.info.info_len = size_of::<bpf_link_info>() as u32;
    attr.info.info = &raw mut info as u64;
    call(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr)
        .context("BPF_OBJ_GET_INFO_BY_FD: can't ask for a link")?;
    Ok(info)
}

/// Replaces a link's program. Requires CAP_BPF if the kernel restricts bpf(2) (kernel.unprivileged_bpf_disabled),
/// otherwise no capability.
///
/// # Errors
/// The link no longer holds an interface (ENOLINK), or the driver refuses.
pub(super) fn update_link(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> nix::Result<()> {
    let mut attr = empty();
    attr.link_update.link_fd = link.as_raw_fd() as u32;
    attr.link_update.__bindgen_anon_1.new_prog_fd = program.as_raw_fd() as u32;
    call(bpf_cmd::BPF_LINK_UPDATE, &mut attr).map(drop)
}

/// Whether a program with this id is loaded; `None` if this process may not ask, which requires CAP_SYS_ADMIN.
pub(super) fn is_loaded(id: u32) -> Option<bool> {
    let mut attr = empty();
    // The kernel returns the next id after this one.
    attr.__bindgen_anon_6.__bindgen_anon_1.start_id = id.checked_sub(1)?;
    match call(bpf_cmd::BPF_PROG_GET_NEXT_ID, &mut attr) {
        // SAFETY: these are integers, which the kernel has filled in.
        Ok(_) => Some(unsafe { attr.__bindgen_anon_6.next_id } == id),
        Err(Errno::ENOENT) => Some(false),
        Err(_) => None,
    }
}

/// The index of the interface that a pinned link holds, 0 if the interface is gone; `None` if the kernel doesn't report
/// it (net/core/dev.c:bpf_xdp_link_show_fdinfo, and kernel/bpf/tcx.c for tcx).
pub(super) fn held_interface(pin: &Path) -> Option<u32> {
    let link = open(pin).ok()?;
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", link.as_raw_fd())).ok()?;
    text.lines().find_map(|line| line.strip_prefix("ifindex:"))?.trim().parse().ok()
}

pub(super) fn empty() -> bpf_attr {
    // SAFETY: the union consists of integers.
    unsafe { mem::zeroed() }
}

pub(super) fn call(command: bpf_cmd, attr: &mut bpf_attr) -> nix::Result<i32> {
    // SAFETY: all commands called here write only to `attr` and to what it points to, which outlives the call.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command as libc::c_long, &raw mut *attr, size_of::<bpf_attr>())
    };
    Errno::result(result).map(|result| result as i32)
}
