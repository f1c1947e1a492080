//! The sandbox: after its start, the process keeps only the rights and files that it still needs.
//!
//! Loading takes CAP_PERFMON, and root has every right. From then on `ntpguard run` reads ntp.conf, which others write,
//! and DNS answers, so it gives up the rights that it doesn't need for that. Rights belong to threads: the main thread
//! gives its up before it starts others, and earlier threads have given up all of theirs ([`renounce`]). One thread
//! that may still open sockets remains: it starts the threads that look names up (`resolve::stay`).

use crate::host::{
    self,
    fault::Fault,
    file_changes::Fingerprint,
    seccomp::{self, Refused},
    secrets,
};
use anyhow::{Context as _, Result};
use caps::{CapSet, Capability, CapsHashSet};
use landlock::{
    ABI, Access as _, AccessFs, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, Scope,
    path_beneath_rules,
};
use nix::errno::Errno;
use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

/// The rights that a reload needs: creating tries takes CAP_BPF (kernel/bpf/syscall.c:map_create). Attaching a loaded
/// program to an interface that comes back needs no more: CAP_NET_ADMIN is checked at load time (bpf_prog_load), and
/// bpf_xdp_link_attach (net/core/dev.c) checks nothing.
pub const KEPT: [Capability; 1] = [Capability::CAP_BPF];

/// The folders that are read to resolve names, for the kernel's figures, and for most configurations.
const READ: [&str; 7] = ["/etc", "/usr", "/lib", "/lib64", "/proc", "/sys", "/run"];

/// The version of Landlock's file rights that is used; rights that newer kernels add are left alone.
const KNOWN: ABI = ABI::V5;

/// The value of [`is_entered`].
static ENTERED: AtomicBool = AtomicBool::new(false);

/// Gives up all rights but [`KEPT`], all files but readable ones (where the configuration is, and may come to be) and
/// the writable folders, and the system calls that reach other services and processes. Returns what couldn't be given
/// up, in whole sentences, since not every kernel supports all of it. `start` is called at a point where threads that
/// it starts may still open sockets, but can't read more secrets than this one.
///
/// # Errors
/// The kernel fails to take away rights or files.
pub fn enter(
    configuration: &Fingerprint,
    writable: &[&Path],
    start: impl FnOnce() -> Result<()>,
) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    // Under the systemd unit, this isn't permitted here, but the unit has covered the files.
    let covered = secrets::cover(configuration.paths());
    if let (Err(error), Some(path)) = (covered, secrets::exposed()) {
        missing.push(format!("ntpguard can still read {path}: {error:#}; its systemd unit prevents that"));
    }
    start()?;
    keep(&KEPT).context("can't give up rights (capset)")?;
    let readable: Vec<PathBuf> =
        READ.iter().map(PathBuf::from).chain(folders(configuration.paths())).collect();
    if !confine(&readable, writable).context("can't give up files (landlock)")? {
        missing.push(
            "this kernel has no Landlock: what ntpguard may read and write isn't narrowed down".to_owned(),
        );
    }
    if let Err(error) = seccomp::refuse(Refused::SocketsAndSignals) {
        missing.push(format!("ntpguard could still talk to other services: {error:#}"));
    }
    ENTERED.store(true, Ordering::Relaxed);
    Ok(missing)
}

/// Confines this thread to looking names up: it gives up every right, and every file that the resolver doesn't read.
/// What the kernel fails to take away stays.
pub(crate) fn look_up_alone() {
    let _ = keep(&[]);
    let _ = confine(&READ.map(PathBuf::from), &[]);
    let _ = seccomp::refuse(Refused::Signals);
}

/// Whether this process has entered its sandbox.
pub fn is_entered() -> bool {
    ENTERED.load(Ordering::Relaxed)
}

/// Gives up every right, and every file and socket that isn't open, for this thread alone: it has all that it needs.
/// What the kernel fails to take away stays.
pub fn renounce() {
    let _ = keep(&[]);
    let _ = confine(&[], &[]);
    let _ = seccomp::refuse(Refused::SocketsAndSignals);
}

/// Keeps only these rights, as far as this thread has them.
pub(crate) fn keep(kept: &[Capability]) -> Result<()> {
    nix::sys::prctl::set_no_new_privs()?;
    let has = caps::read(None, CapSet::Permitted)?;
    let kept: CapsHashSet = kept.iter().copied().filter(|right| has.contains(right)).collect();
    // Takes CAP_SETPCAP; without it no rights can be regained anyway.
    for right in caps::all().difference(&kept) {
        let _ = caps::drop(None, CapSet::Bounding, *right);
    }
    caps::clear(None, CapSet::Ambient)?;
    caps::clear(None, CapSet::Inheritable)?;
    caps::set(None, CapSet::Effective, &kept)?;
    Ok(caps::set(None, CapSet::Permitted, &kept)?)
}

/// Whether this thread has the right without which the verifier refuses pointer arithmetic: CAP_PERFMON, which
/// CAP_SYS_ADMIN includes.
pub(crate) fn may_measure() -> bool {
    let has = caps::read(None, CapSet::Effective).unwrap_or_default();
    has.contains(&Capability::CAP_PERFMON) || has.contains(&Capability::CAP_SYS_ADMIN)
}

fn confine(readable: &[PathBuf], writable: &[&Path]) -> Result<bool> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = AccessFs::from_all(KNOWN) & !AccessFs::Execute;
    // Paths that don't exist are skipped, since no rule can be made for them.
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)?
        .create()?
        .add_rules(path_beneath_rules(readable, read))?
        .add_rules(path_beneath_rules(writable, write))?
        .restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// The folders of these files, and of the files that they link to. Whole folders, since an editor replaces a file by
/// another one.
fn folders<'a>(files: impl Iterator<Item = &'a Path>) -> BTreeSet<PathBuf> {
    let all = files.flat_map(|file| [Some(file.to_owned()), file.canonicalize().ok()]).flatten();
    let folder = |file: PathBuf| match file.parent() {
        // For a file in the root folder, the file alone; otherwise everything could be read.
        Some(folder) if folder.parent().is_some() => folder.to_owned(),
        _ => file,
    };
    all.map(folder).collect()
}

/// Mentions the sandbox in an error that it may have caused.
pub fn blame(fault: Fault) -> Fault {
    let (Fault::Configuration(error) | Fault::Environment(error) | Fault::Usage(error)) = &fault;
    let denied = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    if !{ denied }.any(is_denied) || !is_entered() {
        return fault;
    }
    match fault {
        Fault::Configuration(error) => Fault::Configuration(anyhow::anyhow!("{error:#}; {HINT}")),
        Fault::Environment(error) => Fault::Environment(anyhow::anyhow!("{error:#}; {HINT}")),
        usage @ Fault::Usage(_) => usage,
    }
}

/// A warning if one of these files can't be read, possibly because of the sandbox.
pub fn warning(files: &Fingerprint) -> Option<String> {
    let denied = |file: &&Path| host::file::open(file).is_err_and(|error| is_denied(&error));
    let denied = files.paths().find(|file| is_entered() && denied(file))?;
    Some(format!("warning: {} can't be read; {HINT}", denied.display()))
}

/// The advice in such errors.
const HINT: &str = "since its start ntpguard has no rights but those that it needed then (its sandbox): restart it, \
                    and it can read what its configuration names now";

/// Whether access to a file was denied (EACCES); a missing right has another error number (EPERM).
fn is_denied(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::EACCES as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink, thread};

    /// In a thread of its own, since what it gives up can't be regained.
    #[test]
    fn only_what_is_named_can_be_read_and_written() {
        let files = tempfile::tempdir().unwrap();
        let path = |name: &str| files.path().join(name);
        for folder in ["conf", "state", "target", "elsewhere"] {
            fs::create_dir(path(folder)).unwrap();
        }
        fs::write(path("target/ntp.conf"), "restrict default\n").unwrap();
        fs::write(path("elsewhere/secret"), "secret").unwrap();
        symlink(path("target/ntp.conf"), path("conf/ntp.conf")).unwrap();
        let enforced = thread::scope(|scope| {
            let sandbox = || {
                keep(&[]).unwrap();
                let folders: Vec<_> =
                    folders([path("conf/ntp.conf").as_path()].into_iter()).into_iter().collect();
                if !confine(&folders, &[&path("state")]).unwrap() {
                    return false;
                }
                fs::read(path("conf/ntp.conf")).unwrap();
                fs::write(path("state/new"), "state").unwrap();
                fs::rename(path("state/new"), path("state/state.json")).unwrap();
                let denied = |outcome: io::Result<()>| is_denied(&outcome.unwrap_err());
                assert!(denied(fs::read(path("elsewhere/secret")).map(drop)));
                assert!(denied(fs::write(path("conf/ntp.conf"), "restrict default ignore\n")));
                assert!(denied(fs::write(path("elsewhere/new"), "new")));
                assert!(denied(std::process::Command::new("/bin/true").status().map(drop)));
                assert_eq!(caps::read(None, CapSet::Effective).unwrap(), CapsHashSet::new());
                true
            };
            scope.spawn(sandbox).join().unwrap()
        });
        assert!(enforced, "this kernel has no Landlock");
        // The rest of the process has kept its rights.
        fs::write(path("elsewhere/new"), "new").unwrap();
    }

    #[test]
    fn a_file_in_the_root_opens_nothing_else() {
        let folders = folders(["/ntp.conf", "/opt/ntp/ntp.conf"].map(Path::new).into_iter());
        assert_eq!(folders, BTreeSet::from(["/ntp.conf".into(), "/opt/ntp".into()]));
    }
}
