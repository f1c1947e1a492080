//! Locks that only their owner can take.
//!
//! Any user who may read a file may lock it (flock(2)), and so keep its owner out. A lock here is a folder of mode 700:
//! it can be created in a BPF file system, which has no regular files, and no other user can open it.
//!
//! Earlier versions locked files that others may read. Such a lock still counts while an ntpguard of root's holds it,
//! so that two versions don't run side by side during an upgrade. If any other process holds it, it is ignored.

use anyhow::{Context as _, Result, ensure};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg, OFlag},
    sys::stat::{FileStat, fstat, major, minor, stat},
    unistd::geteuid,
};
use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

/// A lock, which is held while this value lives.
pub struct Lock {
    _folder: Flock<File>,
    /// The lock of earlier versions; `None` if it doesn't exist, or is held by a process that doesn't count.
    _former: Option<Flock<File>>,
}

/// Another process holds the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The process, if the kernel reports it.
    pub pid: Option<i32>,
}

impl Lock {
    /// Tries to take the lock at the folder `path`, which is created if it doesn't exist; its parent must exist.
    /// `former` is the file that earlier versions lock instead.
    ///
    /// # Errors
    /// The folder can't be created or opened, or its parent belongs to another user, who could replace it.
    pub fn take(path: &Path, former: Option<&Path>) -> Result<Result<Self, Held>> {
        loop {
            let folder = open(path)?;
            let file = fstat(&folder)?;
            let folder = match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
                Ok(folder) => folder,
                Err((_, Errno::EWOULDBLOCK)) => return Ok(Err(Held { pid: holder(&file) })),
                Err((_, errno)) => {
                    return Err(errno).with_context(|| format!("can't lock {}", path.display()));
                }
            };
            // The previous holder may have removed it when it ended.
            if !stat(path).is_ok_and(|now| (now.st_dev, now.st_ino) == (file.st_dev, file.st_ino)) {
                continue;
            }
            let former = match former.map(lock_former).unwrap_or(Ok(None)) {
                Ok(former) => former,
                Err(held) => return Ok(Err(held)),
            };
            return Ok(Ok(Self { _folder: folder, _former: former }));
        }
    }

    /// The process that holds a lock, if any does and the kernel reports it; nothing is created or taken.
    pub fn holder(path: &Path) -> Option<i32> {
        holder(&stat(path).ok()?)
    }
}

/// Opens the folder, and makes sure that no other user can.
fn open(path: &Path) -> Result<File> {
    let trusted = |owner: u32| owner == 0 || owner == geteuid().as_raw();
    let parent = path.parent().unwrap_or(path);
    let data = fs::metadata(parent).with_context(|| format!("can't look at {}", parent.display()))?;
    ensure!(
        trusted(data.uid()),
        "{} belongs to user {}, who could lock everybody else out: remove it, or name another place",
        parent.display(),
        data.uid()
    );
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("can't make {}", path.display()));
        }
        _ => (),
    }
    let flags = (OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).bits();
    let opened = File::options().read(true).custom_flags(flags).open(path);
    let folder = opened.with_context(|| format!("can't open {}", path.display()))?;
    let data = folder.metadata()?;
    if data.mode() & 0o077 != 0 {
        let closed = folder.set_permissions(Permissions::from_mode(0o700));
        closed.with_context(|| format!("can't close {} to others", path.display()))?;
    }
    Ok(folder)
}

/// Takes the lock of earlier versions as well; `None` if it doesn't exist, or is held by a process that doesn't count.
fn lock_former(path: &Path) -> Result<Option<Flock<File>>, Held> {
    let flags = OFlag::O_NONBLOCK.bits();
    let Ok(file) = File::options().read(true).custom_flags(flags).open(path) else { return Ok(None) };
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((file, _)) => {
            let pid = fstat(&file).ok().and_then(|file| holder(&file));
            match pid.filter(|pid| is_ours(*pid)) {
                Some(pid) => Err(Held { pid: Some(pid) }),
                None => Ok(None),
            }
        }
    }
}

/// Whether a process is an ntpguard of this user's or of root's. All of its user ids are checked, since a user who
/// starts a setuid program keeps the real one.
fn is_ours(pid: i32) -> bool {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let status = read("status");
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default();
    let mut users = users.split_whitespace().map(|user| user.parse::<u32>());
    let trusted = |user: Result<u32, _>| user.is_ok_and(|user| user == 0 || user == geteuid().as_raw());
    // If it can't be read, which takes that process's rights, it is no evidence either way.
    let program = fs::read_link(format!("/proc/{pid}/exe")).ok();
    let named =
        |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"ntpguard"));
    status.contains("Uid:")
        && users.all(trusted)
        && read("comm").trim_end() == "ntpguard"
        && program.is_none_or(|program| named(&program))
}

/// The process that has locked a file with flock(2): proc_locks(5).
fn holder(file: &FileStat) -> Option<i32> {
    let named = format!("{:02x}:{:02x}:{}", major(file.st_dev), minor(file.st_dev), file.st_ino);
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, file, ..] = words[..] else { return None };
        (file == named).then(|| pid.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::getpid;

    #[test]
    fn one_holds_it_and_others_learn_who() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = Lock::take(&path, None).unwrap().unwrap_or_else(|_| panic!("it is free"));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        let held = Held { pid: Some(getpid().as_raw()) };
        assert_eq!(Lock::take(&path, None).unwrap().err(), Some(held));
        assert_eq!(Lock::holder(&path), held.pid);
        drop(lock);
        assert_eq!(Lock::holder(&path), None);
        // The holder may remove it; the next one creates it again.
        let lock = Lock::take(&path, None).unwrap().unwrap_or_else(|_| panic!("it is free"));
        fs::remove_dir(&path).unwrap();
        assert!(Lock::take(&path, None).unwrap().is_ok());
        drop(lock);
    }

    #[test]
    fn a_former_lock_counts_in_an_ntpguards_hands_alone() {
        let folder = tempfile::tempdir().unwrap();
        let [path, former] = ["lock", "former"].map(|name| folder.path().join(name));
        fs::write(&former, "").unwrap();
        // This process isn't called ntpguard, so its lock doesn't count.
        let other = Flock::lock(File::open(&former).unwrap(), FlockArg::LockExclusiveNonblock).unwrap();
        assert!(Lock::take(&path, Some(&former)).unwrap().is_ok());
        drop(other);
        // An earlier version finds the file locked.
        let lock = Lock::take(&path, Some(&former)).unwrap().unwrap_or_else(|_| panic!("it is free"));
        let earlier = Flock::lock(File::open(&former).unwrap(), FlockArg::LockExclusiveNonblock);
        assert!(matches!(earlier, Err((_, Errno::EWOULDBLOCK))));
        drop(lock);
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        std::os::unix::fs::symlink(folder.path(), &path).unwrap();
        assert!(Lock::take(&path, None).is_err());
    }
}
