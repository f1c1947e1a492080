//! Other users of the host, and unusual files: who may read the counters can't hinder ntpguard, and no file blocks it.

use nix::{
    sys::{
        signal::{Signal, kill},
        stat::Mode,
    },
    unistd::{Pid, mkfifo},
};
use ntpguard::host::terminal::is_obeyed;
use ntpguard_tests::{
    following::{policy, wait_for},
    guard::{Guarding, binary},
    home::Home,
    netns::{INTERFACE, Lab},
};
use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    net::Ipv4Addr,
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

const CONF: &str = "restrict default nomodify nopeer noquery\nrestrict 127.0.0.1\n";
const OTHER: &str =
    "restrict default nomodify nopeer noquery\nrestrict 198.51.100.0 mask 255.255.255.0 ignore\n";

/// A process of another user; killed when dropped.
struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A user in the group locks every file that it can open; root can still attach, reload and sample events.
#[test]
fn whoever_may_look_locks_nobody_out() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    home.open_to_all().unwrap();
    home.attach_with("--group 65534").unwrap();
    drop(home.guarding_with(&["--group", "65534"]).unwrap().end(Signal::SIGTERM).unwrap());
    let folders = [home.bpffs().join("ntpguard"), home.path().join("state")];
    let script = format!(
        "for path in $(find {} {} 2>/dev/null); do \
         [ -p $path ] || [ -S $path ] || {{ exec {{fd}}<$path && flock -n $fd && echo $path; }}; \
         done 2>/dev/null; echo locked; sleep 600",
        folders[0].display(),
        folders[1].display()
    );
    let mut command = lab.server.command("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--pdeathsig=KILL", "bash", "-c"]);
    let mut other = Other(command.arg(&script).stdout(Stdio::piped()).spawn().unwrap());
    let mut locked = BufReader::new(other.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let locked: Vec<_> = locked.by_ref().take_while(|line| line != "locked").collect();
    assert!(locked.contains(&folders[0].display().to_string()), "{locked:?}");

    home.write(OTHER).unwrap();
    home.run("reload").unwrap();
    home.attach_with("--group 65534").unwrap();
    let guard = home.guarding_with(&["--group", "65534"]).unwrap();
    wait_for("events are drawn", || home.output("events").unwrap().status.success());
    drop(guard.end(Signal::SIGTERM).unwrap());
    home.run("detach --all").unwrap();
}

/// The output of a command, which has to end by itself.
fn ends(command: &mut Command) -> Output {
    let start = Instant::now();
    let mut child =
        Other(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    wait_for("it ends", || child.0.try_wait().unwrap().is_some());
    println!("{command:?} took {:.1?}", start.elapsed());
    let read = |pipe: &mut dyn std::io::Read| {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        bytes
    };
    Output {
        status: child.0.wait().unwrap(),
        stdout: read(&mut child.0.stdout.take().unwrap()),
        stderr: read(&mut child.0.stderr.take().unwrap()),
    }
}

/// Files that can't be read to their end, and the message about each.
const ODD: [(&str, &str); 5] = [
    ("pipe", "it is a named pipe (FIFO)"),
    ("socket", "it is a socket"),
    ("zero", "it is a device"),
    ("folder", "Is a directory"),
    ("holes", "it is larger than 256 MiB"),
];

fn make_odd(path: &Path, kind: &str) {
    match kind {
        "pipe" => mkfifo(path, Mode::S_IRWXU).unwrap(),
        "socket" => drop(UnixListener::bind(path).unwrap()),
        "zero" => symlink("/dev/zero", path).unwrap(),
        "folder" => fs::create_dir(path).unwrap(),
        _ => File::create(path).unwrap().set_len(2 << 30).unwrap(),
    }
}

#[test]
fn odd_files_are_refused_and_the_old_policy_stays() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    let guard = home.guarding().unwrap();
    for (kind, expected) in ODD {
        let before = policy(&home);
        let odd = home.path().join(kind);
        make_odd(&odd, kind);
        let refused = |command: &mut Command| {
            let output = ends(command);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{kind}: {said}");
            assert!(said.contains(expected), "{kind}: {said}");
        };
        let name = odd.display().to_string();
        let verb = |line: &str| {
            let mut command = lab.server.command(binary().unwrap());
            command.args(line.split_whitespace());
            command
        };
        refused(&mut verb(&format!("check --dialect ntp-4.2.8 {name}")));
        refused(&mut verb(&format!("explain --config {name} --source 192.0.2.7 --mode 3")));
        if kind != "holes" {
            refused(&mut verb(&format!("replay --dialect ntpsec {name}")));
            refused(&mut verb(&format!("explain --dialect ntpsec --vectors {name}")));
            refused(&mut verb(&format!("status --settings {name}")));
        }
        // A daemon that includes a directory reads all files in it, or none; so this isn't a fault.
        if kind != "folder" {
            home.write(&format!("{OTHER}includefile {name}\n")).unwrap();
            refused(&mut home.command("reload").unwrap());
            refused(&mut verb(&format!("check --dialect ntp-4.2.6 {}", home.conf().display())));
        }
        fs::remove_file(home.conf()).unwrap();
        fs::rename(&odd, home.conf()).unwrap();
        refused(&mut home.command("reload").unwrap());
        assert_eq!(policy(&home), before, "{kind}");
        if kind == "folder" {
            fs::remove_dir(home.conf()).unwrap();
        }
        home.write(CONF).unwrap();
        home.run("reload").unwrap();
    }
    assert_eq!(guard.end(Signal::SIGTERM).unwrap().status.code(), Some(0));
}

/// Makes an /etc for the host, with secret files that the filter has no need to read.
fn make_etc(home: &Home<'_>, lab: &Lab) -> PathBuf {
    let etc = home.path().join("etc");
    for folder in ["", "ssh", "ssl", "ssl/private"] {
        fs::create_dir(etc.join(folder)).unwrap();
    }
    for secret in SECRETS {
        fs::write(etc.join(secret), "secret").unwrap();
    }
    fs::write(etc.join("ntp.conf"), CONF).unwrap();
    lab.server.run(&format!("mount --bind {} /etc", etc.display())).unwrap();
    etc
}

const SECRETS: [&str; 4] = ["shadow", "gshadow", "ssh/ssh_host_ed25519_key", "ssl/private/server.pem"];

#[test]
fn the_confined_process_sees_no_secrets_and_follows_renamed_files() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    let etc = make_etc(&home, &lab);
    let places = home.places();
    let guard =
        Guarding::start(&lab.server, Path::new("/etc/ntp.conf"), &places.each_ref().map(String::as_str))
            .unwrap();
    let process = home.status().unwrap()["process"].as_u64().unwrap();
    for secret in SECRETS {
        let seen = fs::read_to_string(format!("/proc/{process}/root/etc/{secret}")).unwrap_or_default();
        assert_eq!(seen, "", "{secret}");
        assert_eq!(lab.server.run(&format!("cat /etc/{secret}")).unwrap(), "secret");
    }
    // A single file is uncovered when another one replaces it, which is reported; a folder stays covered.
    for secret in ["shadow", "ssh/ssh_host_ed25519_key"] {
        fs::write(etc.join("new"), "secret").unwrap();
        fs::rename(etc.join("new"), etc.join(secret)).unwrap();
    }
    let key = fs::read_to_string(format!("/proc/{process}/root/etc/ssh/ssh_host_ed25519_key"));
    assert_eq!(key.unwrap_or_default(), "");
    // An editor replaces the file, also where the name was looked for before but didn't exist.
    let before = policy(&home);
    fs::write(etc.join("ntp.conf~"), OTHER).unwrap();
    fs::rename(etc.join("ntp.conf~"), etc.join("ntp.conf")).unwrap();
    home.run("reload").unwrap();
    assert!(policy(&home) > before);
    // Every thread has a seccomp filter.
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let mut threads = 0;
    for task in tasks {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        assert!(status.contains("Seccomp:\t2"), "{status}");
        threads += 1;
    }
    assert!(threads > 3, "{threads} threads");
    // It samples events, and other processes get them.
    assert!(home.output("events").unwrap().status.success());
    // It checks for uncovered files once a second.
    thread::sleep(Duration::from_secs(3));
    let errors = guard.end(Signal::SIGTERM).unwrap().errors;
    assert_eq!(errors.matches("could read /etc/shadow again").count(), 1, "{errors}");
    assert_eq!(errors.matches("again: another file").count(), 1, "{errors}");
    assert!(!errors.contains("could still") && !errors.contains("can still"), "{errors}");
}

/// Names and texts that would affect a terminal.
const HOSTILE: &str = "\x1b]0;title\x07\u{9b}31m\u{202e}\u{61c}\u{200b}\u{ad}\u{e0041}";

#[test]
fn no_verb_sends_a_terminal_what_it_would_obey() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    let folder = home.path().join(format!("a{HOSTILE}b"));
    fs::create_dir(&folder).unwrap();
    let conf = folder.join("ntp.conf");
    fs::write(&conf, format!("{CONF}restrict 192.0.2.0 mask 255.255.255.0 ignore # {HOSTILE}\n")).unwrap();
    let missing = folder.join("missing");
    let settings = folder.join("settings");
    fs::write(&settings, format!("xdp-mode = \"{}\"\n", "\\u001b[31m\\u009b")).unwrap();
    let odd = folder.join("odd.conf");
    fs::write(&odd, format!("restrict 192.0.2.1 {HOSTILE}\nserver {HOSTILE}\nincludefile {HOSTILE}\n"))
        .unwrap();
    let places = home.places();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let said = |words: &[&str]| {
        let mut command = lab.server.command(binary().unwrap());
        let output = ends(command.args(words));
        for bytes in [&output.stdout, &output.stderr] {
            let text = String::from_utf8(bytes.clone()).unwrap();
            assert!(!text.contains(is_obeyed), "{words:?}: {text:?}");
        }
        output.status.code().unwrap()
    };
    let [pins, state] = places.each_ref().map(String::as_str);
    let (conf, missing, settings, odd) = (text(&conf), text(&missing), text(&settings), text(&odd));
    for format in ["text", "json"] {
        let format = format!("--format={format}");
        for file in [&conf, &odd, &missing] {
            said(&["check", &format, file]);
            said(&[
                "explain",
                &format,
                "--config",
                file,
                "--source",
                "192.0.2.7",
                "--mode",
                "3",
                "--engine=host",
            ]);
            said(&["replay", &format, "--config", file, file]);
        }
    }
    said(&["explain", "--vectors", &missing]);
    said(&["status", "--settings", &settings, pins, state]);
    said(&["attach", "--settings", &settings, "--interface", HOSTILE, pins, state]);
    said(&["attach", "--interface", HOSTILE, "--config", &conf, pins, state]);
    said(&[HOSTILE]);
    assert_eq!(
        said(&["attach", "--interface", INTERFACE, "--config", &conf, "--dialect=ntpsec", pins, state]),
        0
    );
    for format in ["text", "json"] {
        let format = format!("--format={format}");
        said(&["status", &format, pins, state]);
        said(&["stats", &format, pins, state]);
        said(&["events", &format, pins, state]);
        said(&["report", &format, pins, state]);
        said(&["doctor", &format, "--interface", HOSTILE]);
    }
    said(&["capture", "-w", &missing, "--filter", HOSTILE, pins, state]);
    fs::write(&conf, format!("includefile {}\n", text(&folder))).unwrap();
    for verb in ["reload", "monitor", "enforce"] {
        said(&[verb, pins, state]);
    }
    said(&["detach", "--interface", HOSTILE, pins, state]);
    said(&["detach", "--all", pins, state]);
}

#[test]
fn where_root_would_help_it_is_said() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    home.open_to_all().unwrap();
    home.attach().unwrap();
    let conf = home.conf().display().to_string();
    fs::set_permissions(home.conf(), fs::Permissions::from_mode(0o600)).unwrap();
    for line in [
        &format!("attach --interface {INTERFACE}"),
        &format!("run --interface {INTERFACE}"),
        "reload",
        "monitor",
        "enforce",
        "status",
        "stats",
        "events --follow",
        "capture -w -",
        "detach --all",
    ] {
        let output = home.as_user("65533", line).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("root"), "{line}: {said}");
    }
    for line in [
        "check --dialect ntpsec ",
        "explain --dialect ntpsec --source 192.0.2.7 --mode 3 --engine host --config ",
    ] {
        let mut command = lab.server.command("setpriv");
        command.args(["--reuid=65534", "--regid=65533", "--clear-groups"]).arg(home.path().join("ntpguard"));
        let output = command.args(format!("{line}{conf}").split_whitespace()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("run it as root"), "{line}: {said}");
    }
    home.run("detach --all").unwrap();
}

/// Reading a million lines takes long, at the start and at a reload, but a signal to end needn't wait for that.
#[test]
fn an_end_is_heard_while_a_million_lines_are_read() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    let line =
        |number: u32| format!("restrict {} kod nomodify limited\n", Ipv4Addr::from(0x0b00_0000 + number));
    let long: String = (0..1_000_000).map(line).collect();
    let memory = |process: u32| {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    for (before, attached) in [(&*long, 0), (CONF, 1)] {
        home.write(before).unwrap();
        let mut command = home.command(&home.attaching().replacen("attach", "run", 1)).unwrap();
        let mut child = Other(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        if attached > 0 {
            wait_for("it is attached", || lab.attached().unwrap().len() == attached);
            home.write(&long).unwrap();
        }
        wait_for("it reads", || memory(child.0.id()) > 100 << 10);
        let start = Instant::now();
        kill(Pid::from_raw(child.0.id() as i32), Signal::SIGTERM).unwrap();
        wait_for("it ends", || child.0.try_wait().unwrap().is_some());
        println!("it ended {:.1?} after SIGTERM", start.elapsed());
        assert_eq!(child.0.wait().unwrap().code(), Some(0));
        assert_eq!(lab.attached().unwrap().len(), attached, "what was in force stays so");
    }
    home.run("detach --all").unwrap();
}

#[test]
fn a_vector_is_not_repeated_for_hours() {
    let vectors = tempfile::NamedTempFile::new().unwrap();
    for count in [0, 1_000_001, u32::MAX] {
        let vector = serde_json::json!({
            "conf": CONF, "src": "192.0.2.7", "sport": 123, "payload_hex": "23",
            "repeat": { "count": count, "interval_s": 0 },
        });
        fs::write(vectors.path(), vector.to_string()).unwrap();
        let mut command = Command::new(binary().unwrap());
        let output = ends(command.args(["explain", "--dialect=ntpsec", "--vectors"]).arg(vectors.path()));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains("from 1 to 1000000"), "{count}: {said}");
    }
}
