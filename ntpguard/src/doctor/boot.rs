//! Whether a daemon starts at boot, judged by the links that make it start; no service manager is asked.

use super::{Check, Finding};
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

/// Where systemd looks for units, and for the `.wants` and `.requires` folders of targets (systemd.unit(5)).
const UNITS: [&str; 4] =
    ["etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"];
/// Folders of start links: System V's run levels with a network, as Debian and Red Hat place them, then OpenRC's.
const LEVELS: [&str; 7] = [
    "etc/rc2.d",
    "etc/rc3.d",
    "etc/rc5.d",
    "etc/rc.d/rc3.d",
    "etc/rc.d/rc5.d",
    "etc/runlevels/default",
    "etc/runlevels/boot",
];

/// Whether a service of one of these names starts at boot.
pub(super) fn judge(root: &Path, names: &[String]) -> Finding {
    let subject = names.join(", ");
    if let Some(name) = names.iter().find(|name| masked(root, name)) {
        return Finding::warning(Check::Boot, name, "is masked: after a reboot nobody serves")
            .fix(format!("systemctl unmask {name} && systemctl enable {name}"));
    }
    let by = names.iter().find_map(|name| Some((name, wanted(root, name).or_else(|| level(root, name))?)));
    if let Some((name, link)) = by {
        let link = Path::new("/").join(link.strip_prefix(root).unwrap_or(&link));
        return Finding::ok(Check::Boot, name, format!("starts at boot ({})", link.display()));
    }
    let name = names.first().map_or("ntpd", String::as_str);
    let fix = if root.join("run/systemd/system").exists() {
        format!("systemctl enable {name}")
    } else if root.join("etc/runlevels").exists() {
        format!("rc-update add {name} default")
    } else {
        format!("update-rc.d {name} defaults && update-rc.d {name} enable")
    };
    Finding::warning(Check::Boot, subject, "no link starts it at boot: after a reboot nobody may serve")
        .fix(fix)
}

/// The service's link in a folder `….target.wants` or `….target.requires`.
fn wanted(root: &Path, name: &str) -> Option<PathBuf> {
    let folders = UNITS.iter().flat_map(|place| list(&root.join(place))).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.ends_with(".target.wants") || name.ends_with(".target.requires")
    });
    folders.map(|folder| folder.join(format!("{name}.service"))).find(|link| there(link))
}

/// The service's link in a run level's folder: `S01ntpsec`, or in OpenRC `ntpd`.
fn level(root: &Path, name: &str) -> Option<PathBuf> {
    let starts = |file: &OsStr| {
        let file = file.to_string_lossy();
        let rest = file.strip_prefix('S').map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
        file == name || rest == Some(name)
    };
    let links = LEVELS.iter().flat_map(|place| list(&root.join(place)));
    links.into_iter().find(|link| link.file_name().is_some_and(starts))
}

/// Whether the service's unit is a link to /dev/null.
fn masked(root: &Path, name: &str) -> bool {
    let link = root.join(UNITS[0]).join(format!("{name}.service"));
    fs::read_link(link).is_ok_and(|target| target == Path::new("/dev/null"))
}

/// Whether there is a link, even if it is dangling.
fn there(link: &Path) -> bool {
    link.symlink_metadata().is_ok()
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;
    use std::os::unix::fs::symlink;

    fn host(links: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (link, target) in links {
            let link = root.path().join(link);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(target, link).unwrap();
        }
        root
    }

    fn judged(links: &[(&str, &str)]) -> Finding {
        judge(host(links).path(), &["ntpsec".to_owned(), "ntp".to_owned()])
    }

    #[test]
    fn links_of_every_kind() {
        let unit = "/lib/systemd/system/ntpsec.service";
        for (link, target) in [
            ("etc/systemd/system/multi-user.target.wants/ntpsec.service", unit),
            ("usr/lib/systemd/system/multi-user.target.wants/ntp.service", unit),
            ("etc/rc3.d/S01ntpsec", "../init.d/ntpsec"),
            ("etc/rc.d/rc3.d/S58ntp", "../init.d/ntp"),
            ("etc/runlevels/default/ntpsec", "/etc/init.d/ntpsec"),
        ] {
            let found = judged(&[(link, target)]);
            assert_eq!(found.status, Status::Ok, "{link}");
            assert!(found.message.ends_with(&format!("(/{link})")), "{found:?}");
        }
        for (link, target) in [
            ("etc/systemd/system/ntpsec.service", unit),
            ("etc/systemd/system/multi-user.target.wants/ntpsec-rotate-stats.service", unit),
            ("etc/rc3.d/K01ntpsec", "../init.d/ntpsec"),
            ("etc/rc3.d/S01ntpsec-wait", "../init.d/ntpsec-wait"),
        ] {
            assert_eq!(judged(&[(link, target)]).status, Status::Warning, "{link}");
        }
    }

    #[test]
    fn a_masked_unit_starts_nowhere() {
        let wanted = ("etc/systemd/system/multi-user.target.wants/ntpsec.service", "/lib/x");
        let found = judged(&[wanted, ("etc/systemd/system/ntpsec.service", "/dev/null")]);
        assert!(found.message.contains("masked"), "{found:?}");
    }
}
