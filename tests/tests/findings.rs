//! The output of `ntpguard check` for every fixture in every dialect, compared with snapshots.

use ntpguard::{
    compile::Hardening,
    conf::{
        diagnostic::{Code, Severity},
        locate::Read,
        ntp,
    },
    daemon::dialect::Daemon,
    export::check::Report,
    policy::{Policy, audit::audit},
};
use ntpguard_tests::fixture::{DIALECTS, FIXTURES, names, path};
use std::{collections::HashSet, fs};

/// The fixtures that produce findings.
const FINDINGS: [&str; 14] = [
    "findings/typos.conf",
    "findings/networks.conf",
    "findings/policy.conf",
    "findings/cut-off.conf",
    "findings/files.conf",
    "findings/gaps.conf",
    "findings/ntp-org.conf",
    "findings/hints.conf",
    "findings/servers.conf",
    "findings/template.conf",
    "findings/clients.conf",
    "findings/unrendered.conf",
    "findings/chrony.conf",
    "findings/syntax.conf",
];

#[test]
fn every_fixture_and_every_code() {
    // This code comes from a running process rather than from a file (conf/locate.rs has the test).
    let mut seen = HashSet::from([Code::DaemonOlder]);
    for fixture in FIXTURES.into_iter().flatten().chain(FINDINGS) {
        for dialect in DIALECTS {
            let mut conf = ntp::read(Some(&path(fixture)), Daemon::new(dialect)).unwrap();
            conf.files[0].path = fixture.into();
            let policy = Policy::resolve(&conf, &names, &[]);
            let diagnostics = audit(&conf, &policy, Hardening::ALL, &names);
            seen.extend(diagnostics.iter().map(|diagnostic| diagnostic.code));
            let read = Read { path: Some(fixture.into()), conf, because: format!("read as {dialect} does") };
            let report =
                Report { read: &read, policy: &policy, diagnostics: &diagnostics, hardening: Hardening::ALL };
            // The path of this repository isn't part of the finding.
            let text = report.text().replace(&path("").display().to_string(), "");
            let name = format!("{}-{dialect}", fixture.replace(['/', '.'], "-"));
            insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
                insta::assert_snapshot!(name, text);
            });
        }
    }
    let unseen: Vec<_> = Code::ALL.iter().filter(|code| !seen.contains(code)).collect();
    assert!(unseen.is_empty(), "no fixture leads to {unseen:?}");
}

/// The files that distributions' packages install and their tools write: no alarm is raised, except for what really is open.
#[test]
fn no_default_of_a_distribution_raises_an_alarm() {
    let folder = path("distributions");
    let mut read = 0;
    for file in fs::read_dir(&folder).unwrap() {
        let file = file.unwrap().path();
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let dialect = DIALECTS.into_iter().find(|dialect| name.ends_with(&dialect.to_string())).unwrap();
        // With names that resolve to addresses which may belong to others tomorrow, and with names that don't resolve.
        for resolves in [true, false] {
            let resolver = |_: &str| match resolves {
                true => names("0.pool.example.net"),
                false => Err(std::io::Error::other("no DNS")),
            };
            let conf = ntp::read(Some(&file), Daemon::new(dialect)).unwrap();
            let policy = Policy::resolve(&conf, &resolver, &[]);
            let found = audit(&conf, &policy, Hardening::ALL, &resolver);
            let alarms = found.iter().filter(|found| found.code.severity() > Severity::Note);
            // The included files belong to that distribution, and don't exist on this host.
            let alarms = alarms.filter(|found| found.code != Code::IncludeLost);
            let alarms: Vec<_> = alarms.map(|found| found.code.name()).collect();
            // OpenWrt's package really leaves queries open.
            let right: &[&str] = if name.starts_with("openwrt") { &["queries-open"] } else { &[] };
            assert_eq!(alarms, right, "{name}: {found:#?}");
        }
        read += 1;
    }
    assert!(read >= 12, "the fixtures are there");
}
