//! Hides files with this host's secrets, which a packet filter has no use for, in a mount namespace of this thread's
//! own.
//!
//! Landlock's rules depend on inodes, and editors replace files by new inodes, so all of /etc stays readable to a
//! confined process. These paths are hidden by mounts over them. Like the unit's `InaccessiblePaths=`, the mounts hide
//! what exists when they are made: a single file that is replaced later, as passwd(1) replaces /etc/shadow, becomes
//! visible again; a folder stays hidden. The kernel unmounts a file when another is renamed over it, and a confined
//! process can't mount it again, so [`Uncovered`] reports such files.

use anyhow::{Context as _, Result};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use std::{
    fs::{self, File},
    path::Path,
};

/// Files with secrets: passwords, and Kerberos keys.
const FILES: [&str; 6] = [
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/security/opasswd",
    "/etc/krb5.keytab",
];

/// Folders with secrets: private keys, and credentials that the service manager and containers pass to services.
const FOLDERS: [&str; 11] = [
    "/etc/ssh",
    "/etc/ssl/private",
    "/etc/pki/tls/private",
    "/etc/letsencrypt",
    "/etc/wireguard",
    "/etc/ipsec.d/private",
    "/etc/openvpn",
    "/etc/NetworkManager/system-connections",
    "/etc/credstore",
    "/run/credentials",
    "/run/secrets",
];

/// Hides them from this thread and those that it starts from now on, except what is on the path to one of `needed`.
///
/// # Errors
/// CAP_SYS_ADMIN is missing.
pub(crate) fn cover<'a>(needed: impl Iterator<Item = &'a Path>) -> Result<()> {
    let needed: Vec<_> =
        needed.flat_map(|path| [Some(path.to_owned()), path.canonicalize().ok()]).flatten().collect();
    let free = |path: &&Path| path.exists() && !needed.iter().any(|needed| needed.starts_with(path));
    unshare(CloneFlags::CLONE_NEWNS).context("can't make a mount namespace (unshare)")?;
    // What is mounted on the host later is visible here, but not the other way round.
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none)
        .context("can't part from the host's mounts")?;
    for file in FILES.iter().map(Path::new).filter(free) {
        mount(Some("/dev/null"), file, none, MsFlags::MS_BIND, none)
            .with_context(|| format!("can't cover {}", file.display()))?;
    }
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    for folder in FOLDERS.iter().map(Path::new).filter(free) {
        mount(Some("tmpfs"), folder, Some("tmpfs"), flags, Some("size=4k,nr_inodes=2,mode=000"))
            .with_context(|| format!("can't cover {}", folder.display()))?;
    }
    Ok(())
}

/// A file that this thread can still read.
pub(crate) fn exposed() -> Option<&'static str> {
    FILES.iter().find(|path| is_readable(path)).copied()
}

/// A file that hides another is empty; its size is checked without opening it.
fn is_readable(path: &str) -> bool {
    fs::metadata(path).is_ok_and(|data| data.is_file() && data.len() > 0) && File::open(path).is_ok()
}

/// Detects files that have become readable again because they were replaced.
pub(crate) struct Uncovered(Vec<&'static str>);

impl Uncovered {
    /// Watches the files that can't be read now.
    pub(crate) fn new() -> Self {
        Self(FILES.into_iter().filter(|path| !is_readable(path)).collect())
    }

    /// The files that have become readable since the last call.
    pub(crate) fn look(&mut self) -> Vec<&'static str> {
        self.0.extract_if(.., |path| is_readable(path)).collect()
    }
}
