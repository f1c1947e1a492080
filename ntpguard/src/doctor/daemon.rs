//! The daemon behind UDP port 123: which one it is, which configuration it uses, whether it starts at boot, and what it
//! answers to whom.

use super::{
    Check, Finding, boot,
    probe::{self, Answers},
    shield::Shield,
};
use crate::{
    conf::{AccessList, locate, ntp},
    daemon::{
        CommandLine,
        holder::{self, Holder, Holders},
        release::{self, Program},
        socket::{self, Socket},
        unit::SERVICES,
    },
};
use std::path::{Path, PathBuf};

/// The subject of findings about the port.
const PORT: &str = "UDP port 123";

/// Reads files below the root. Queries, however, always go to the daemon of this host, whatever the root is; its answers
/// are judged by what gets past the filter. Also returns whether the daemon's files say `restrict source`.
pub(super) fn examine(root: &Path, shield: &Shield) -> (Vec<Finding>, bool) {
    let sockets = match socket::sockets(root) {
        Ok(sockets) => sockets,
        Err(error) => return (vec![Finding::unknown(Check::Port, PORT, &error)], false),
    };
    if sockets.is_empty() {
        return (vec![nobody()], false);
    }
    let answers = probe::ask();
    let release = answers.as_ref().ok().and_then(|answers| answers.release.clone());
    let holders = match holder::holders(root, &sockets) {
        Ok(holders) => holders,
        Err(error) => return (vec![Finding::unknown(Check::Port, PORT, &error)], false),
    };
    let mut has_source = false;
    let mut findings = port(&sockets, &holders);
    if let (Some(release), []) = (&release, &holders.all[..]) {
        findings.push(version(PORT, release, shield));
    }
    for holder in &holders.all {
        let (about, says_source) = about(root, holder, release.as_deref(), shield);
        findings.extend(about);
        has_source |= says_source;
    }
    match answers {
        Ok(Answers { asked, left_out, .. }) => {
            findings.extend(probe::judge(&asked, left_out, shield));
        }
        Err(error) => findings.push(Finding::unknown(Check::Readvar, "this host's addresses", &error)),
    }
    (findings, has_source)
}

fn nobody() -> Finding {
    Finding::failure(
        Check::Port,
        PORT,
        "nobody holds it: no daemon runs here, or in another network namespace",
    )
    .fix("start the daemon (systemctl start ntpsec), or run ntpguard where it runs (ip netns exec)")
}

/// Which processes hold the port, and on which addresses.
fn port(sockets: &[Socket], holders: &Holders) -> Vec<Finding> {
    let mut addresses: Vec<_> = sockets.iter().map(|socket| socket.address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let on = if addresses.iter().any(|address| address.is_unspecified()) {
        "every address".to_owned()
    } else {
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    if holders.all.is_empty() {
        let finding =
            Finding::warning(Check::Port, PORT, format!("held on {on}, and this user can't see by whom"));
        // Otherwise its process may be in a PID namespace whose processes aren't visible from here.
        let fix = if holders.hidden {
            "sudo ntpguard doctor"
        } else {
            "look in the container or namespace that holds it"
        };
        return vec![finding.fix(fix)];
    }
    let held = |holder: &Holder| {
        let program = holder.file.as_ref().map(|path| format!(", {}", path.display())).unwrap_or_default();
        Finding::ok(Check::Port, PORT, format!("process {} ({}{program}) on {on}", holder.pid, holder.name))
    };
    holders.all.iter().map(held).collect()
}

/// What there is to say about a process that holds the port, and whether its files say `restrict source`.
fn about(root: &Path, holder: &Holder, answered: Option<&str>, shield: &Shield) -> (Vec<Finding>, bool) {
    let subject = format!("process {}", holder.pid);
    let daemon = match &holder.program {
        Some(program) => program.daemon().ok_or_else(|| {
            let message = format!(
                "{program}: ntpguard doesn't read its configuration yet, only ntp.conf of ntpd and NTPsec"
            );
            Finding::warning(Check::Daemon, &subject, message)
                .fix("run ntp.org's ntpd or NTPsec on this host, or leave ntpguard away")
        }),
        None if holder.name.starts_with("ntpd") => {
            let message = "an ntpd whose release isn't seen: its program can't be read, or others than root may write it";
            Err(Finding::warning(Check::Daemon, &subject, message).fix("name its reading with --dialect"))
        }
        None => {
            let message = format!(
                "{} is no ntpd that ntpguard knows, and may read another file than ntp.conf",
                holder.name
            );
            let fix = "ntpguard check FILE --dialect DAEMON, if it reads an ntp.conf";
            Err(Finding::warning(Check::Daemon, &subject, message).fix(fix))
        }
    };
    let daemon = match daemon {
        Ok(daemon) => daemon,
        Err(finding) => return (vec![finding], false),
    };
    let release = holder.program.as_ref().map(Program::to_string).unwrap_or_default();
    // NTPsec's binary doesn't have its version number beside its name, but the daemon reports it to those who may query it.
    let release = answered.filter(|text| text.starts_with(&release)).unwrap_or(&release);
    let names = match &holder.service {
        Some(service) => vec![service.clone()],
        None => SERVICES.map(str::to_owned).to_vec(),
    };
    let command = CommandLine::parse(&holder.arguments, daemon.dialect);
    let mut findings = vec![version(&subject, release, shield), config(root, holder, &command)];
    let words = command.to_string();
    if !words.is_empty() {
        findings.push(Finding::ok(Check::Config, &subject, format!("on its command line: {words}")));
    }
    let path = file(root, holder, &command);
    // Errors in the file are reported by `check`.
    let list = path.as_ref().and_then(|path| ntp::read(Some(path), daemon).ok());
    findings.extend(path.and_then(|path| older(holder, &path, list.as_ref())));
    findings.push(boot::judge(root, &names));
    (findings, list.is_some_and(|list| list.has_source()))
}

/// The path of the daemon's file as seen from here.
fn file(root: &Path, holder: &Holder, command: &CommandLine) -> Option<PathBuf> {
    let path = command.config.as_ref().map(|path| holder.path(path)).or_else(|| holder.built_in.clone())?;
    let own = holder::of_its_own(root, holder.pid, &path);
    Some(own.unwrap_or_else(|| root.join(path.strip_prefix("/").unwrap_or(&path))))
}

/// A warning if the daemon was started before its file, or a file that this includes, was changed.
fn older(holder: &Holder, path: &Path, list: Option<&AccessList>) -> Option<Finding> {
    let files = list.map_or(&[][..], |list| &list.files);
    let files = files.iter().map(|file| &*file.path).chain([path]);
    let (changed, _) = locate::changed_since(holder.since?, files)?;
    let message = format!(
        "started before {} was changed: it goes by the old one until it is restarted",
        changed.display()
    );
    let service = holder.service.as_ref().map(|service| format!("systemctl restart {service}"));
    let finding = Finding::warning(Check::Config, format!("process {}", holder.pid), message);
    Some(finding.fix(service.unwrap_or_else(|| "restart it".to_owned())))
}

fn version(subject: &str, release: &str, shield: &Shield) -> Finding {
    if answers_monlist(release) {
        if probe::is_monlist_dropped(shield) {
            let message = format!(
                "{release}: vulnerable to monlist (CVE-2013-5211), which ntpguard drops on {}",
                shield.places()
            );
            return Finding::note(Check::Daemon, subject, message);
        }
        let fix = "noquery on the lines `restrict default` of ntp.conf, or an upgrade; `ntpguard run` drops it meanwhile";
        return Finding::warning(
            Check::Daemon,
            subject,
            format!("{release}: vulnerable to monlist (CVE-2013-5211)"),
        )
        .fix(fix);
    }
    if Program::reported(release).is_known() {
        return Finding::ok(Check::Daemon, subject, release);
    }
    let message =
        format!("{release}: ntpguard knows how 4.2.6, 4.2.8 and NTPsec read ntp.conf, not this one");
    Finding::warning(Check::Daemon, subject, message)
        .fix("choose the nearest with --dialect, and read what `ntpguard check` says")
}

/// Whether a release of ntp.org's ntpd has monlist, which 4.2.7p26 removed.
fn answers_monlist(release: &str) -> bool {
    release::numbers(release).is_some_and(|release| release < [4, 2, 7, 26])
}

/// Which configuration file the daemon uses, and whether ntpguard would read the same one.
fn config(root: &Path, holder: &Holder, command: &CommandLine) -> Finding {
    let subject = format!("process {}", holder.pid);
    let named = command.config.as_ref().map(|path| holder.path(path));
    let (path, how) = match (&named, &holder.built_in) {
        (Some(path), _) => (path, "-c on its command line"),
        (None, Some(path)) => (path, "built in, no -c on its command line"),
        (None, None) => {
            let message = "can't tell: no -c on its command line, and none seen in its program";
            return Finding::warning(Check::Config, subject, message)
                .fix("name its file with --config, if it has one");
        }
    };
    let shown = format!("{} ({how})", path.display());
    match holder::sees(root, holder.pid, path) {
        Err(error) => Finding::unknown(Check::Config, subject, &error),
        Ok(false) => Finding::warning(Check::Config, subject, format!("{shown}, which isn't there"))
            .fix("put it there, and restart the daemon"),
        Ok(true) => match holder::of_its_own(root, holder.pid, path) {
            Some(own) => {
                let message =
                    format!("{shown}, in a mount namespace of its own: here it is {}", own.display());
                Finding::note(Check::Config, subject, message)
                    .fix("give ntpguard the same file to read, by a place that stays when the daemon is restarted (--config)")
            }
            None => Finding::ok(Check::Config, subject, shown),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        daemon::holder::tests::{contain, process},
        doctor::Status,
    };
    use std::fs;

    const OLD: &[u8] = b"\x7fELF\0ntpd 4.2.6p5@1.2349-o\0/etc/ntp.conf\0";

    fn said(root: &Path, answered: Option<&str>) -> Vec<(Status, String)> {
        let sockets = socket::sockets(root).unwrap();
        let holders = holder::holders(root, &sockets).unwrap();
        let about = holders.all.iter().flat_map(|holder| about(root, holder, answered, &Shield::default()).0);
        port(&sockets, &holders).into_iter().chain(about).map(|found| (found.status, found.message)).collect()
    }

    #[test]
    fn an_old_daemon() {
        let root = tempfile::tempdir().unwrap();
        process(root.path(), 77, "ntpd", "ntpd -g", OLD);
        let found = said(root.path(), None);
        assert!(
            found[0].1.starts_with("process 77 (ntpd, ") && found[0].1.ends_with("on every address"),
            "{found:?}"
        );
        assert_eq!(found[1], (Status::Warning, "4.2.6p5: vulnerable to monlist (CVE-2013-5211)".to_owned()));
        assert_eq!(found[2].1, "/etc/ntp.conf (built in, no -c on its command line), which isn't there");
        fs::create_dir_all(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/ntp.conf"), "").unwrap();
        assert_eq!(
            said(root.path(), None)[2],
            (Status::Ok, "/etc/ntp.conf (built in, no -c on its command line)".to_owned())
        );
    }

    #[test]
    fn a_file_of_its_own() {
        let root = tempfile::tempdir().unwrap();
        process(root.path(), 77, "ntpd", "ntpd -c /run/ntp.conf", b"ntpd ntpsec-%s\0");
        let found = said(root.path(), Some("ntpsec-1.2.2"));
        assert_eq!(found[1], (Status::Ok, "ntpsec-1.2.2".to_owned()));
        assert!(found[2].1.ends_with("which isn't there"), "{found:?}");
        fs::create_dir_all(root.path().join("run")).unwrap();
        fs::write(root.path().join("run/ntp.conf"), "").unwrap();
        let named = "/run/ntp.conf (-c on its command line)".to_owned();
        assert_eq!(said(root.path(), None)[2], (Status::Ok, named));
    }

    #[test]
    fn a_file_in_a_container() {
        let root = tempfile::tempdir().unwrap();
        process(root.path(), 77, "ntpd", "ntpd -c /run/ntp.conf", b"ntpd ntpsec-%s\0");
        contain(root.path(), 77, "/run/ntp.conf", "");
        let (status, message) = &said(root.path(), None)[2];
        assert!(*status == Status::Note && message.contains("in a mount namespace of its own"), "{message}");
    }

    #[test]
    fn another_program() {
        let root = tempfile::tempdir().unwrap();
        process(root.path(), 77, "chronyd", "chronyd", b"\x7fELF chronyd\0");
        let found = said(root.path(), None);
        assert_eq!((found.len(), found[1].0), (2, Status::Warning));
        assert!(found[1].1.starts_with("chronyd: ntpguard doesn't read its configuration yet"), "{found:?}");
    }

    #[test]
    fn releases_that_are_not_known_are_ntpds() {
        for release in ["4.2.4p8", "4.2.6p5-RCGO", "4.2.7p404", "4.3.91", "4.2.8p19"] {
            let root = tempfile::tempdir().unwrap();
            process(
                root.path(),
                77,
                "ntpd",
                "ntpd -g",
                format!("\x7fELF\0ntpd {release}@1.2-o\0").as_bytes(),
            );
            let found = said(root.path(), None);
            assert!(found[1].1.starts_with(release), "{found:?}");
        }
    }

    #[test]
    fn its_command_line_and_its_age() {
        let root = tempfile::tempdir().unwrap();
        process(root.path(), 77, "ntpd", "ntpd -c /run/ntp.conf -t 5 192.0.2.2", b"ntpd ntpsec-%s\0");
        fs::create_dir_all(root.path().join("run")).unwrap();
        fs::write(root.path().join("run/ntp.conf"), "restrict default\n").unwrap();
        let found = said(root.path(), None);
        assert_eq!(found[3].1, "on its command line: servers 192.0.2.2, trusted keys 5");
        // The daemon was started in 1970, as was the machine.
        fs::write(root.path().join("proc/stat"), "btime 100\n").unwrap();
        fs::write(root.path().join("proc/77/stat"), format!("77 (ntpd) S{} 7 0", " 0".repeat(18))).unwrap();
        let found = said(root.path(), None);
        assert!(found[4].1.contains("ntp.conf was changed: it goes by the old one"), "{found:?}");
    }

    #[test]
    fn releases_with_monlist() {
        for release in ["4.2.6p5", "4.2.6p5-RCGO", "4.2.4p8", "4.2.7p25", "4.2.0", "4.1.2"] {
            assert!(answers_monlist(release), "{release}");
        }
        for release in ["4.2.7p26", "4.2.8", "4.2.8p15", "ntpsec-1.2.2", "ntpsec", "", "4.2"] {
            assert!(!answers_monlist(release), "{release}");
        }
    }
}
