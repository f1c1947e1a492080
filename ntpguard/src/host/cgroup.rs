//! The root of the control groups (cgroup v2).

use anyhow::{Context as _, Result};
use nix::{errno::Errno, libc};
use std::{
    fs::{self, File},
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
};

/// The inode number of the initial cgroup namespace: PROC_CGROUP_INIT_INO in include/linux/proc_ns.h.
const INITIAL: u64 = 0xeffffffb;

/// The root of the control groups. In a container it is the container's own group.
///
/// # Errors
/// The kernel has no control groups of version 2, or this process may not open them.
pub fn root() -> Result<File> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("can't read /proc/self/mounts")?;
    match found(&mounts) {
        Some(path) => File::open(&path).with_context(|| format!("can't open {}", path.display())),
        // `ip netns exec` mounts another /sys, which has none.
        None => unmounted()
            .context("no control groups (cgroup v2) are mounted, and they can't be opened otherwise"),
    }
}

/// Whether the kernel has control groups of version 2, below a root; `None` if it doesn't say.
pub fn is_supported(root: &Path) -> Option<bool> {
    let kinds = fs::read_to_string(root.join("proc/filesystems")).ok()?;
    Some(kinds.lines().any(|line| line.split_whitespace().next_back() == Some("cgroup2")))
}

/// Whether this process sees only the control groups of a container: its cgroup namespace isn't the initial one. A path in
/// /proc/self/cgroup wouldn't tell, since the root of any namespace is `/`.
pub fn is_containers(root: &Path) -> bool {
    fs::metadata(root.join("proc/self/ns/cgroup")).is_ok_and(|namespace| namespace.ino() != INITIAL)
}

/// The root without a mount that others see: fsopen(2), fsmount(2). Requires CAP_SYS_ADMIN.
fn unmounted() -> Result<File> {
    /// FSCONFIG_CMD_CREATE in include/uapi/linux/mount.h.
    const CREATE: libc::c_uint = 6;
    let nothing = std::ptr::null::<libc::c_char>();
    // SAFETY: the arguments are those of fsopen(2): a string that ends with a zero, and flags.
    let opened = unsafe { libc::syscall(libc::SYS_fsopen, c"cgroup2".as_ptr(), 0) };
    let context = owned(opened)?;
    let descriptor = context.as_raw_fd();
    // SAFETY: those of fsconfig(2) for this command.
    let made = unsafe { libc::syscall(libc::SYS_fsconfig, descriptor, CREATE, nothing, nothing, 0) };
    Errno::result(made)?;
    // SAFETY: those of fsmount(2).
    let mounted = unsafe { libc::syscall(libc::SYS_fsmount, descriptor, 0, 0) };
    Ok(owned(mounted)?.into())
}

/// A new descriptor, or the error of the call that was to return it.
fn owned(returned: libc::c_long) -> nix::Result<OwnedFd> {
    let descriptor = Errno::result(returned)?;
    // SAFETY: the kernel has just opened it, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor as i32) })
}

/// The first mount of cgroup v2 in a table of mounts (fstab(5)).
fn found(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (place, kind) = (words.next()?, words.next()?);
        // Blanks are written as \040.
        (kind == "cgroup2").then(|| Path::new(&place.replace("\\040", " ")).to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_mount_of_version_2_is_found() {
        let hybrid = "tmpfs /sys/fs/cgroup tmpfs ro 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nsdelegate 0 0\n";
        assert_eq!(found(hybrid), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(found("cgroup2 /a\\040b cgroup2 rw 0 0"), Some("/a b".into()));
        assert_eq!(found("proc /proc proc rw 0 0\n"), None);
    }
}
