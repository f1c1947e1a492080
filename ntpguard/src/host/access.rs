//! Read access for users other than root: a group that may read counters and the state and ask for events, but change
//! nothing.

use anyhow::{Context as _, Result};
use nix::unistd::{Gid, Group};
use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf, absolute},
};

/// The part of the owner's rights that the group gets: everything but writing.
const SHARE: u32 = 0o5;

/// The users who have read access.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readers {
    /// Their group; `None` if no other user has access.
    pub group: Option<u32>,
}

impl Readers {
    /// Finds a group by its name or number.
    ///
    /// # Errors
    /// There is no group of this name.
    pub fn find(name: Option<&str>) -> Result<Self> {
        let Some(name) = name else { return Ok(Self::default()) };
        if let Ok(number) = name.parse() {
            return Ok(Self { group: Some(number) });
        }
        let group = Group::from_name(name).with_context(|| format!("can't look for the group {name}"))?;
        let group =
            group.with_context(|| format!("there is no group {name}: `groupadd --system {name}` first"))?;
        Ok(Self { group: Some(group.gid.as_raw()) })
    }

    /// Opens a file or a folder to them, whose owner has the rights `mode`; or revokes the access of the previous
    /// group.
    ///
    /// # Errors
    /// The file isn't this user's.
    pub fn admit(&self, path: &Path, mode: u32) -> Result<()> {
        let open = || {
            let shared = mode | mode >> 3 & SHARE << 3;
            let now = fs::metadata(path)?;
            match self.group {
                Some(group) if (now.gid(), now.mode() & 0o7777) == (group, shared) => Ok(()),
                Some(group) => {
                    // Changing the group takes a right that a process in its sandbox no longer has.
                    if now.gid() != group {
                        // Closed until it has the new group, so that the previous one can't read it meanwhile.
                        fs::set_permissions(path, Permissions::from_mode(mode & 0o700))?;
                        chown(path, None, Some(group))?;
                    }
                    fs::set_permissions(path, Permissions::from_mode(shared))
                }
                None if now.mode() & 0o077 == 0 => Ok(()),
                None => {
                    fs::set_permissions(path, Permissions::from_mode(mode))?;
                    chown(path, None, Some(Gid::effective().as_raw()))
                }
            }
        };
        open().with_context(|| format!("can't say who may read {}", path.display()))
    }

    /// Opens a socket to them; to talk to it, they need the right to write it.
    ///
    /// # Errors
    /// The socket isn't this user's.
    pub fn invite(&self, socket: &Path) -> Result<()> {
        self.admit(socket, 0o600)?;
        let write = || fs::set_permissions(socket, Permissions::from_mode(0o660));
        let written = self.group.map(|_| write()).transpose();
        written.map(drop).with_context(|| format!("can't say who may talk to {}", socket.display()))
    }

    /// The innermost folder on the way to a path that they can't pass.
    pub fn barrier(&self, path: &Path) -> Option<PathBuf> {
        let group = self.group?;
        let path = absolute(path).ok()?;
        let closed = |folder: &&Path| {
            fs::metadata(folder).is_ok_and(|folder| {
                let bit = if folder.gid() == group { 0o010 } else { 0o001 };
                folder.mode() & bit == 0
            })
        };
        path.ancestors().skip(1).find(closed).map(Path::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_reads_and_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        // Of the groups that any user may give files to, this user's own.
        let readers = Readers::find(Some(&Gid::effective().to_string())).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        readers.admit(folder.path(), 0o700).unwrap();
        readers.admit(&file, 0o600).unwrap();
        assert_eq!((mode(folder.path()), mode(&file)), (0o750, 0o640));
        assert_eq!(readers.barrier(&file), readers.barrier(folder.path()));
        let nobody = Readers::find(None).unwrap();
        nobody.admit(folder.path(), 0o700).unwrap();
        nobody.admit(&file, 0o600).unwrap();
        assert_eq!((mode(folder.path()), mode(&file)), (0o700, 0o600));
        assert_eq!(Readers { group: Some(4711) }.barrier(&file), Some(folder.path().to_owned()));
        let missing = Readers::find(Some("no-such-group")).unwrap_err().to_string();
        assert!(missing.contains("groupadd"), "{missing}");
    }
}
