//! Files of this host that are nobody's business who filters packets: they are covered, in a mount namespace of this thread's own.
//!
//! Landlock's rules hang on inodes, and editors put new ones in the place of files, so all of /etc stays readable to a confined
//! process. These are taken out of its sight by mounts. As the unit's `InaccessiblePaths=`, they cover what is there when they are
//! made: a single file that is replaced later, as passwd(1) replaces /etc/shadow, is seen again; a folder stays covered. The kernel
//! takes a mount off a file that another one is renamed over, and who is confined can't mount anew, so [`Uncovered`] tells.

use anyhow::{Context as _, Result};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use std::{
    fs::{self, File},
    path::Path,
};

/// Files with secrets: passwords, and the keys of Kerberos.
const FILES: [&str; 6] = [
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/security/opasswd",
    "/etc/krb5.keytab",
];

/// Folders with secrets: private keys, and what the service manager and containers hand to services.
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

/// Covers them for this thread, and those that it starts from now on; not what lies on the way to one of `needed`.
///
/// # Errors
/// It takes CAP_SYS_ADMIN.
pub(crate) fn cover<'a>(needed: impl Iterator<Item = &'a Path>) -> Result<()> {
    let needed: Vec<_> =
        needed.flat_map(|path| [Some(path.to_owned()), path.canonicalize().ok()]).flatten().collect();
    let free = |path: &&Path| path.exists() && !needed.iter().any(|needed| needed.starts_with(path));
    unshare(CloneFlags::CLONE_NEWNS).context("can't make a mount namespace (unshare)")?;
    // What is mounted on the host later is seen here, too, but not the other way round.
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

/// One that this thread could still read.
pub(crate) fn exposed() -> Option<&'static str> {
    FILES.iter().find(|path| is_readable(path)).copied()
}

/// What covers a file is empty, and is looked at without opening it.
fn is_readable(path: &str) -> bool {
    fs::metadata(path).is_ok_and(|data| data.is_file() && data.len() > 0) && File::open(path).is_ok()
}

/// Finds files that can be read again since others were put in their place.
pub(crate) struct Uncovered(Vec<&'static str>);

impl Uncovered {
    /// To be told of those that can't be read now.
    pub(crate) fn new() -> Self {
        Self(FILES.into_iter().filter(|path| !is_readable(path)).collect())
    }

    /// Those that can be read since the last look.
    pub(crate) fn look(&mut self) -> Vec<&'static str> {
        self.0.extract_if(.., |path| is_readable(path)).collect()
    }
}
