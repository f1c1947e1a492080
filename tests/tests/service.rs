//! ntpguard as a service: few rights, fewer after the start, notifications to the service manager, and a log without
//! control characters.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use ntpguard_tests::{
    client::flood,
    fixture::path,
    following::wait_for,
    frame::payload,
    guard::{binary, command},
    home::Home,
    netns::{INTERFACE, Lab},
    ntpd::installed,
    unit::{RIGHTS, Unit},
};
use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

const CONF: &str = "restrict default nomodify nopeer noquery\nrestrict 127.0.0.1\n";
const OTHER: &str =
    "restrict default nomodify nopeer noquery\nrestrict 198.51.100.0 mask 255.255.255.0 ignore\n";
/// CAP_BPF: linux/capability.h.
const KEPT: u64 = 1 << 39;

fn attacked(lab: &Lab) -> u64 {
    flood(&lab.outside, "192.0.2.2", "192.0.2.1", payload::MONLIST, 50).unwrap().answers
}

#[test]
fn with_the_units_rights_alone_everything_works() {
    let lab = Lab::new().unwrap();
    lab.server.run("ip link add br0 type bridge").unwrap();
    let unit = Unit::new(&lab.server, CONF).unwrap();
    let started = unit.start(" --interface br0").unwrap();
    assert_eq!((attacked(&lab), lab.attached().unwrap().len()), (0, 1));
    let status = unit.run("status --format json").unwrap();
    assert!(status.contains(&format!("\"process\":{}", started.id())), "{status}");

    // All of its threads have fewer rights than it was started with.
    only_what_is_needed_is_left(started.id());
    // It sends watchdog notifications.
    assert_eq!(unit.hear("WATCHDOG=1").unwrap(), "WATCHDOG=1\n");
    unit.home.write(OTHER).unwrap();
    assert!(unit.run("reload").unwrap().contains("is in force"));
    assert!(unit.hear("RELOADING=1").unwrap().contains("MONOTONIC_USEC="));
    let ready = unit.hear("READY=1").unwrap();
    assert!(ready.contains("STATUS=policy 2: +1 −1 rules"), "{ready}");
    // Attaching later needs rights too.
    let attached =
        || lab.server.run("ip -details link show dev br0").is_ok_and(|shown| shown.contains("xdpgeneric"));
    lab.server.run("ip link delete br0").unwrap();
    wait_for("br0 is missed", || unit.said().contains("br0 is gone"));
    lab.server.run("ip link add br0 type bridge").unwrap();
    wait_for("br0 is guarded again", attached);

    // A killed process's filter is taken over; it also stays when the process is ended; and then it is taken off.
    started.end(Signal::SIGKILL).unwrap();
    assert_eq!((attacked(&lab), lab.attached().unwrap().len()), (0, 1));
    let started = unit.start("").unwrap();
    wait_for("it is taken over", || unit.said().contains("taken over without a gap"));
    assert_eq!(started.end(Signal::SIGTERM).unwrap().code(), Some(0), "{}", unit.said());
    unit.hear("STOPPING=1").unwrap();
    assert_eq!(lab.attached().unwrap().len(), 1);
    assert!(unit.run("reload").unwrap().contains("policy"), "without a process");
    unit.run("detach --all").unwrap();
    assert_eq!((lab.attached().unwrap(), unit.home.pins().unwrap()), (vec![], 0));
}

fn only_what_is_needed_is_left(process: u32) {
    let number = |status: &str, key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("{key}"));
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let tasks: Vec<_> =
        tasks.map(|task| fs::read_to_string(task.unwrap().path().join("status")).unwrap()).collect();
    assert!(tasks.len() > 1, "those that write are there");
    for (place, status) in tasks.iter().enumerate() {
        let [permitted, effective] = ["CapPrm:", "CapEff:"].map(|key| number(status, key));
        let expected = if place == 0 { KEPT } else { 0 };
        assert_eq!((permitted, effective), (expected, expected), "{status}");
        let [inheritable, ambient] = ["CapInh:", "CapAmb:"].map(|key| number(status, key));
        assert_eq!((inheritable, ambient, number(status, "NoNewPrivs:")), (0, 0, 1), "{status}");
    }
}

#[test]
fn without_a_right_it_says_which() {
    let lab = Lab::new().unwrap();
    let unit = Unit::new(&lab.server, CONF).unwrap();
    let line = unit.home.attaching().replacen("attach", "run", 1);
    for missing in ["bpf", "net_admin", "perfmon"] {
        let rights: Vec<_> = RIGHTS.split(',').filter(|right| *right != format!("+{missing}")).collect();
        let output = unit.command(&rights.join(","), &line).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{missing}: {said}");
        assert!(said.contains(&format!("CAP_{}", missing.to_uppercase())), "{missing}: {said}");
    }
    assert_eq!(lab.attached().unwrap(), [0; 0]);
}

#[test]
fn a_reload_beyond_the_sandbox_says_what_helps() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let other = elsewhere.path().join("other.conf");
    fs::write(&other, OTHER).unwrap();
    let including = format!("{CONF}includefile {}\n", other.display());

    let guard = home.guarding().unwrap();
    home.write(&including).unwrap();
    home.run("reload").unwrap();
    fs::remove_file(home.conf()).unwrap();
    symlink(&other, home.conf()).unwrap();
    let refused = home.output("reload").unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("its sandbox): restart it"), "{said}");
    let errors = guard.end(Signal::SIGTERM).unwrap().errors;
    assert!(errors.contains("other.conf can't be read; since its start"), "{errors}");

    // After a restart it can read the one file, and also the other, since the configuration is there now.
    let guard = home.guarding().unwrap();
    home.write(&including).unwrap();
    assert!(home.run("reload").unwrap().contains("is in force"));
    let errors = guard.end(Signal::SIGTERM).unwrap().errors;
    assert!(!errors.contains("sandbox"), "{errors}");
    let guard = home.guarding_with(&["--no-sandbox"]).unwrap();
    fs::rename(&other, elsewhere.path().join("other")).unwrap();
    home.write(&including.replace("other.conf", "other")).unwrap();
    home.run("reload").unwrap();
    let errors = guard.end(Signal::SIGTERM).unwrap().errors;
    assert!(!errors.contains("can't be read"), "{errors}");
}

#[test]
fn settings_come_from_a_file() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    let settings = home.path().join("ntpguard.toml");
    let [pins, state] = home.places();
    let said = |text: &str, line: &str| {
        fs::write(&settings, text).unwrap();
        let mut command = lab.server.command(binary().unwrap());
        command.args(line.split_whitespace()).arg("--settings").arg(&settings);
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        (output.status.code().unwrap(), said.concat())
    };
    let key = |option: &str| option.trim_start_matches("--").replacen('=', " = '", 1) + "'\n";
    let all = format!(
        "interface = ['{INTERFACE}']\nconfig = '{}'\ndialect = 'ntpsec'\nmonitor = true\n{}{}",
        home.conf().display(),
        key(&pins),
        key(&state)
    );
    let (code, words) = said(&all, "attach");
    assert_eq!(code, 0, "{words}");
    assert!(words.contains("read as ntpsec does") && words.contains("a trial"), "{words}");
    let (code, words) = said(&all, "status");
    assert_eq!((code, words.contains(&format!("guarding {INTERFACE}"))), (0, true), "{words}");
    let (code, words) = said(&all, "attach --dialect ntp-4.2.6");
    assert_eq!((code, words.contains("read as ntp-4.2.6 does")), (0, true), "{words}");
    assert_eq!(said(&all, "detach --all").0, 0);

    let (code, words) = said("interface = 'ntp0'\nintervall = '5m'\n", "run");
    let expected =
        format!("{}:2: there is no setting `intervall`; did you mean `interval`?", settings.display());
    assert_eq!((code, words.contains(&expected)), (1, true), "{words}");
    let (code, words) = said("interface = 'ntp0'\ntrace = true\n", "run");
    assert_eq!(code, 64, "{words}");
    assert!(words.contains("--ephemeral") && words.contains("some of these options are from /"), "{words}");
    let (code, words) = said("", "run --settings /nonexistent");
    assert_eq!(code, 64, "given twice: {words}");
}

#[test]
fn a_full_disk_does_not_end_the_guarding() {
    let lab = Lab::new().unwrap();
    let pool = path("pool.conf");
    let options = ["run", "--interface", INTERFACE, "--interval", "10ms", "--config", pool.to_str().unwrap()];
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    let mut guard = command(&lab.server, &options).unwrap();
    let mut guard = guard.stdout(full()).stderr(full()).spawn().unwrap();
    wait_for("it is attached", || lab.attached().unwrap().len() == 1);
    let id = Pid::from_raw(guard.id() as i32);
    kill(id, Signal::SIGHUP).unwrap();
    assert_eq!(attacked(&lab), 0);
    thread::sleep(Duration::from_millis(300));
    assert_eq!((guard.try_wait().unwrap(), lab.attached().unwrap().len()), (None, 1));
    kill(id, Signal::SIGTERM).unwrap();
    assert_eq!(guard.wait().unwrap().code(), Some(0));
    assert_eq!(lab.attached().unwrap(), [0; 0]);
}

#[test]
fn the_journal_is_told_how_bad_it_is() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let data = log.as_file().metadata().unwrap();
    let mut command = Command::new(binary().unwrap());
    command.args(["check", "/nonexistent/ntp.conf"]).stderr(log.reopen().unwrap());
    command.env("JOURNAL_STREAM", format!("{}:{}", data.dev(), data.ino()));
    assert_eq!(command.status().unwrap().code(), Some(1));
    let said = fs::read_to_string(log.path()).unwrap();
    assert!(said.starts_with("<3>ntpguard: can't read /nonexistent/ntp.conf"), "{said}");
}

/// systemd's own rating of the unit, from 0 (safe) to 10.
const EXPOSURE: f64 = 2.5;

#[test]
fn the_unit_is_sound_and_tight() {
    let systemd = installed("systemd").unwrap();
    let analyze = |arguments: &[&str], unit: &Path| {
        let mut command = Command::new(systemd.join("usr/bin/systemd-analyze"));
        command.env("LD_LIBRARY_PATH", libraries(&systemd)).args(arguments).arg(unit);
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        (output.status.success(), said.concat())
    };
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist/ntpguard.service");
    let (_, said) = analyze(&["security", "--offline=true", "--no-pager"], &unit);
    let words = said
        .split("Overall exposure level for ntpguard.service: ")
        .nth(1)
        .unwrap_or_else(|| panic!("{said}"));
    let exposure: f64 = words.split(' ').next().unwrap().parse().unwrap();
    println!("the unit's exposure is {exposure}");
    assert!(exposure <= EXPOSURE, "{said}");

    // With a command that exists, and without any other message.
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("ntpguard.service");
    let text = fs::read_to_string(unit).unwrap();
    fs::write(&copy, text.replace("/usr/sbin/ntpguard", binary().unwrap().to_str().unwrap())).unwrap();
    fs::set_permissions(&copy, Permissions::from_mode(0o644)).unwrap();
    assert_eq!(analyze(&["verify", "--man=no"], &copy), (true, String::new()));
}

/// The folder of systemd's own libraries.
fn libraries(systemd: &Path) -> PathBuf {
    let folders =
        fs::read_dir(systemd.join("usr/lib")).unwrap().map(|folder| folder.unwrap().path().join("systemd"));
    let found = folders.into_iter().find(|folder| {
        let files = fs::read_dir(folder).into_iter().flatten().flatten();
        files.into_iter().any(|file| file.file_name().to_string_lossy().starts_with("libsystemd-shared"))
    });
    found.expect("libsystemd-shared is unpacked beside it")
}
