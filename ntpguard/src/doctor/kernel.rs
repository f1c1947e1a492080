//! What the kernel supports, by what it reports under /proc and /sys.

use super::{Check, Finding};
use crate::host::release::Release;
use std::{fs, io, path::Path};

/// The subject of these findings.
const SUBJECT: &str = "kernel";
/// The first release in which tc programs can have links (<https://git.kernel.org/torvalds/c/e420bed02507>).
const TCX: Release = Release(6, 6);

pub(super) fn examine(root: &Path) -> Vec<Finding> {
    let release = Release::text(root);
    let mut findings = match &release {
        Ok(text) => releases(text),
        Err(error) => vec![Finding::unknown(Check::Kernel, SUBJECT, error)],
    };
    findings.push(match root.join("sys/kernel/btf/vmlinux").try_exists() {
        Ok(there) => btf(there),
        Err(error) => Finding::unknown(Check::Btf, SUBJECT, &error),
    });
    findings.push(jit(&fs::read_to_string(root.join("proc/sys/net/core/bpf_jit_enable"))));
    findings.push(lockdown(&fs::read_to_string(root.join("sys/kernel/security/lockdown"))));
    findings
}

fn releases(text: &str) -> Vec<Finding> {
    let Some(release) = Release::parse(text) else {
        let message = format!("Linux {text}: no release that ntpguard can read; it needs 6.1 or newer");
        return vec![Finding::warning(Check::Kernel, SUBJECT, message)];
    };
    let kernel = if release < Release::OLDEST {
        let message = format!("Linux {text} is too old: ntpguard needs 6.1 or newer");
        Finding::failure(Check::Kernel, SUBJECT, message).fix("install a kernel of 6.1 or newer, and reboot")
    } else {
        Finding::ok(Check::Kernel, SUBJECT, format!("Linux {text}"))
    };
    let tcx = if release < TCX {
        "none before Linux 6.6: `--hook tc` isn't to be had here, and isn't needed for XDP"
    } else {
        "there, for `--hook tc`"
    };
    vec![kernel, Finding::ok(Check::Tcx, SUBJECT, tcx)]
}

fn btf(there: bool) -> Finding {
    if there {
        return Finding::ok(Check::Btf, SUBJECT, "there");
    }
    let message = "the kernel doesn't describe its types (no /sys/kernel/btf/vmlinux): not what ntpguard is tested with";
    Finding::warning(Check::Btf, SUBJECT, message).fix("use a kernel built with CONFIG_DEBUG_INFO_BTF=y")
}

fn jit(setting: &io::Result<String>) -> Finding {
    match setting.as_ref().map(|text| text.trim()) {
        Ok("0") => {
            let message = "BPF programs are interpreted, at a multiple of the cost";
            Finding::warning(Check::Jit, SUBJECT, message).fix("sysctl -w net.core.bpf_jit_enable=1")
        }
        Ok(_) => Finding::ok(Check::Jit, SUBJECT, "BPF programs are compiled"),
        // The kernel shows this setting only in the initial network namespace.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let message = "can't tell: net.core.bpf_jit_enable isn't there, in a network namespace of its own or without a JIT";
            Finding::warning(Check::Jit, SUBJECT, message)
                .fix("sysctl net.core.bpf_jit_enable, on the host itself")
        }
        Err(error) => Finding::unknown(Check::Jit, SUBJECT, error),
    }
}

fn lockdown(setting: &io::Result<String>) -> Finding {
    let chosen = |text: &str| Some(text.split_once('[')?.1.split_once(']')?.0.to_owned());
    match setting.as_ref().map(|text| chosen(text)) {
        Ok(Some(level)) if level == "confidentiality" => {
            let message = "confidentiality: BPF programs may not read the kernel's memory, which the filter doesn't; not tested";
            Finding::warning(Check::Lockdown, SUBJECT, message)
                .fix("boot with lockdown=integrity if the filter isn't loaded")
        }
        Ok(Some(level)) => Finding::ok(Check::Lockdown, SUBJECT, level),
        Ok(None) => Finding::warning(Check::Lockdown, SUBJECT, "can't tell: the kernel names no level"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Finding::ok(Check::Lockdown, SUBJECT, "not there")
        }
        Err(error) => Finding::unknown(Check::Lockdown, SUBJECT, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    fn statuses(findings: &[Finding]) -> Vec<(&'static str, Status)> {
        findings.iter().map(|finding| (finding.check.name(), finding.status)).collect()
    }

    #[test]
    fn releases_are_compared_by_number() {
        let status = |text: &str| releases(text)[0].status;
        for text in ["6.1.0-18-amd64", "6.18.44", "6.10-rc1", "10.0.1"] {
            assert_eq!(status(text), Status::Ok, "{text}");
        }
        for text in ["5.10.0", "6.0.19", "4.19.0"] {
            assert_eq!(status(text), Status::Failure, "{text}");
        }
        for text in ["", "six", "6"] {
            assert_eq!(status(text), Status::Warning, "{text}");
        }
        assert!(releases("6.1.0")[1].message.starts_with("none before"), "tcx");
        assert_eq!(releases("6.6.1")[1].message, "there, for `--hook tc`");
    }

    #[test]
    fn a_made_up_kernel() {
        let root = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        file("proc/sys/kernel/osrelease", "5.4.0-1\n");
        file("proc/sys/net/core/bpf_jit_enable", "0\n");
        file("sys/kernel/security/lockdown", "none integrity [confidentiality]\n");
        let wanted = [
            ("kernel", Status::Failure),
            ("tcx", Status::Ok),
            ("btf", Status::Warning),
            ("jit", Status::Warning),
            ("lockdown", Status::Warning),
        ];
        assert_eq!(statuses(&examine(root.path())), wanted);
        file("proc/sys/kernel/osrelease", "6.1.0-18-amd64\n");
        file("proc/sys/net/core/bpf_jit_enable", "1\n");
        file("sys/kernel/btf/vmlinux", "");
        file("sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
        assert!(examine(root.path()).iter().all(|finding| finding.status == Status::Ok));
    }

    #[test]
    fn an_empty_root_is_no_crash() {
        let root = tempfile::tempdir().unwrap();
        assert!(examine(root.path()).iter().all(|finding| finding.status != Status::Failure));
    }
}
