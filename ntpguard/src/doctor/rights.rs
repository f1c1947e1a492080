//! The rights of this process, and where the filter can be pinned.

use super::{Check, Finding};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use std::{fs, io, path::Path};

/// CAP_NET_ADMIN: attaching needs it (capabilities(7), also for those below).
const NET_ADMIN: u32 = 12;
/// CAP_SYS_ADMIN: includes the next two.
const SYS_ADMIN: u32 = 21;
/// CAP_PERFMON: the verifier allows more to a process that has it.
const PERFMON: u32 = 38;
/// CAP_BPF: loading needs it.
const BPF: u32 = 39;

/// Whether this process has the capabilities that loading and attaching need.
pub(super) fn capabilities(root: &Path) -> Finding {
    let status = fs::read_to_string(root.join("proc/self/status"));
    match status.as_deref().map(effective) {
        Ok(Some(effective)) => judge(effective),
        Ok(None) => Finding::warning(Check::Rights, "this process", "can't tell: the kernel names none"),
        Err(error) => Finding::unknown(Check::Rights, "this process", error),
    }
}

/// The effective capabilities, from the line `CapEff:` of proc_pid_status(5).
fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn judge(effective: u64) -> Finding {
    let has = |capability: u32| effective >> capability & 1 == 1;
    let needed =
        [("CAP_NET_ADMIN", NET_ADMIN, false), ("CAP_BPF", BPF, true), ("CAP_PERFMON", PERFMON, true)];
    let missing: Vec<_> = needed
        .into_iter()
        .filter(|(_, capability, by_admin)| !(has(*capability) || *by_admin && has(SYS_ADMIN)))
        .map(|(name, ..)| name)
        .collect();
    if missing.is_empty() {
        return Finding::ok(Check::Rights, "this process", "may load and attach the filter");
    }
    let message = format!("may not load and attach the filter, and sees less: no {}", missing.join(", "));
    Finding::warning(Check::Rights, "this process", message).fix("run as root")
}

/// Whether the filter can be pinned.
pub(super) fn bpffs(pin_path: &Path) -> Finding {
    // The folder itself is created at the first attachment, in its parent.
    let parent = pin_path.parent().unwrap_or(pin_path);
    let kind = |path: &Path| statfs(path).map(|stat| stat.filesystem_type() == BPF_FS_MAGIC);
    let found = kind(pin_path).or_else(|_| kind(parent)).map_err(io::Error::from);
    place(pin_path, parent, found)
}

fn place(pin_path: &Path, parent: &Path, found: io::Result<bool>) -> Finding {
    let (subject, parent) = (pin_path.display().to_string(), parent.display());
    let missing = |message: String| {
        Finding::failure(Check::Bpffs, &subject, message)
            .fix(format!("mount -t bpf bpf {parent}, or another place by --pin-path"))
    };
    match found {
        Ok(true) => Finding::ok(Check::Bpffs, &subject, "in a BPF file system"),
        Ok(false) => missing("isn't in a BPF file system, so no filter can stay there".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            missing(format!("there is no {parent}, so no filter can stay there"))
        }
        Err(error) => Finding::unknown(Check::Bpffs, &subject, &error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[test]
    fn what_is_missing_is_named() {
        let missing = |effective: u64| judge(effective).message;
        assert_eq!(judge(1 << NET_ADMIN | 1 << BPF | 1 << PERFMON).status, Status::Ok);
        assert_eq!(judge(1 << NET_ADMIN | 1 << SYS_ADMIN).status, Status::Ok);
        assert!(missing(1 << SYS_ADMIN).ends_with("no CAP_NET_ADMIN"));
        assert!(missing(0).ends_with("no CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON"));
    }

    #[test]
    fn a_made_up_process() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc/self")).unwrap();
        let with = |text: &str| {
            fs::write(root.path().join("proc/self/status"), text).unwrap();
            capabilities(root.path()).status
        };
        assert_eq!(with("Name:\tx\nCapEff:\t000001ffffffffff\nCapBnd:\t0\n"), Status::Ok);
        assert_eq!(with("Name:\tx\nCapEff:\t0000000000000000\n"), Status::Warning);
        assert_eq!(with("Name:\tx\nCapEff:\tall\n"), Status::Warning);
    }

    #[test]
    fn a_folder_of_another_file_system() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(bpffs(&folder.path().join("ntpguard")).status, Status::Failure);
        let lost = bpffs(&folder.path().join("none/ntpguard"));
        assert_eq!(lost.status, Status::Failure);
        assert!(lost.message.starts_with("there is no ") && lost.message.contains("none"), "{lost:?}");
    }
}
