//! How the daemon's associations are learnt, and where learning sees too little.

use super::{Check, Finding, shield::Shield};
use crate::{
    bpf::{Learner, Learnt, Pins, RUN},
    host::{cgroup, lock::Lock, release::Release},
};
use std::{io, path::Path};

/// The subject of these findings.
const SUBJECT: &str = "associations";
/// The first release in which a program at a control group may ask for a packet's network namespace
/// (bpf_get_netns_cookie).
const NAMESPACE: Release = Release(6, 15);
/// What not to learn comes to.
const ANYBODY: &str = "what `restrict source` may let in passes from any address";

/// What the program doesn't see: sockets of this family send past it.
const EXCEPT: &str = "except whole frames (AF_PACKET)";

/// Checks how associations are learnt if the policy in force has a line for them, or how they will be if the daemon's
/// file has one (`in_file`). Otherwise there is nothing to say.
pub(super) fn examine(root: &Path, shield: &Shield, in_file: bool, pin_path: &Path) -> Vec<Finding> {
    let mut findings = match shield.has_source() {
        Some(true) => {
            let learnt = Pins::find(pin_path).map_or(Ok(Learnt::No), |pins| pins.learnt());
            let mut findings = vec![judge(learnt)];
            if Lock::holder(&pin_path.join(RUN)).is_none() {
                let message = "no process looks after the filter, so that no association ends";
                findings.push(Finding::note(Check::Learning, SUBJECT, message).fix("ntpguard run"));
            }
            findings
        }
        _ if in_file => vec![expect(cgroup::is_supported(root), Release::running(root))],
        _ => return Vec::new(),
    };
    if cgroup::is_containers(root) {
        let message = "the control groups seen from here are a container's own: what a daemon outside of it sends isn't seen";
        let finding = Finding::note(Check::Learning, SUBJECT, message);
        findings.push(finding.fix("run ntpguard on the host itself, or the container with --cgroupns=host"));
    }
    findings
}

/// Judges how they are learnt.
fn judge(learnt: io::Result<Learnt>) -> Finding {
    match learnt {
        Ok(Learnt::By(Some(learner))) => by(learner, "are"),
        Ok(Learnt::By(None)) => {
            Finding::ok(Check::Learning, SUBJECT, "are learnt; this user may not see how")
        }
        Ok(Learnt::No) => Finding::warning(Check::Learning, SUBJECT, format!("aren't learnt: {ANYBODY}"))
            .fix("`ntpguard run` or `ntpguard attach` again, which says why"),
        Err(error) => Finding::unknown(Check::Learning, SUBJECT, &error),
    }
}

/// How they will be learnt; `groups` says whether the kernel has control groups of version 2, if it is known.
fn expect(groups: Option<bool>, release: Release) -> Finding {
    if groups == Some(false) {
        let message = format!("can't be learnt, as this kernel has no cgroup v2: {ANYBODY}");
        return Finding::warning(Check::Learning, SUBJECT, message)
            .fix("use a kernel built with CONFIG_CGROUPS=y and CONFIG_CGROUP_BPF=y");
    }
    by(if release < NAMESPACE { Learner::ByAddress } else { Learner::ByNamespace }, "will be")
}

fn by(learner: Learner, verb: &str) -> Finding {
    match learner {
        Learner::ByNamespace => {
            let message = format!("{verb} learnt from what this network namespace sends, {EXCEPT}");
            Finding::ok(Check::Learning, SUBJECT, message)
        }
        Learner::ByAddress => {
            let message = format!(
                "{verb} learnt from what this host's addresses send, {EXCEPT}; as this kernel doesn't tell packets' network \
                 namespaces, a container that has one of these addresses can add some"
            );
            Finding::note(Check::Learning, SUBJECT, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;
    use std::fs;

    #[test]
    fn what_is_learnt_too_little_is_told() {
        for (learnt, status, words) in [
            (Ok(Learnt::By(Some(Learner::ByNamespace))), Status::Ok, "this network namespace"),
            (Ok(Learnt::By(Some(Learner::ByAddress))), Status::Note, "this host's addresses"),
            (Ok(Learnt::By(None)), Status::Ok, "may not see how"),
            (Ok(Learnt::No), Status::Warning, "from any address"),
            (Err(io::ErrorKind::PermissionDenied.into()), Status::Warning, "may not look"),
        ] {
            let found = judge(learnt);
            assert!(found.status == status && found.message.contains(words), "{found:?}");
        }
    }

    #[test]
    fn what_will_be_learnt_depends_on_the_kernel() {
        let root = tempfile::tempdir().unwrap();
        let said = |in_file: bool| -> Vec<(Status, String)> {
            let found = examine(root.path(), &Shield::default(), in_file, &root.path().join("pins"));
            found.into_iter().map(|found| (found.status, found.message)).collect()
        };
        assert_eq!(said(false), []);
        let file = |name: &str, text: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        file("proc/filesystems", "nodev\tproc\nnodev\tcgroup\nnodev\tcgroup2\n\text4\n");
        for (release, status, words) in [
            ("6.1.0-18-amd64", Status::Note, "this host's addresses"),
            ("6.14.11", Status::Note, "this host's addresses"),
            ("6.15.0", Status::Ok, "this network namespace"),
        ] {
            file("proc/sys/kernel/osrelease", release);
            let said = said(true);
            assert!(matches!(&said[..], [(of, text)] if *of == status && text.contains(words)), "{said:?}");
        }
        file("proc/filesystems", "nodev\tproc\nnodev\tcgroup\n");
        let without = said(true);
        assert!(without[0].0 == Status::Warning && without[0].1.contains("no cgroup v2"), "{without:?}");
        // Not the inode number of the initial namespace.
        file("proc/self/ns/cgroup", "");
        assert!(said(true)[1].1.contains("a container's own"));
    }
}
