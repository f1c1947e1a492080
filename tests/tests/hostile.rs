//! Other users of the host, and odd files: who may look can't hinder, and no file holds anything up.

use nix::sys::signal::Signal;
use nix::{sys::stat::Mode, unistd::mkfifo};
use ntpguard_tests::{
    following::{policy, wait_for},
    home::Home,
    netns::Lab,
};
use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    os::unix::{fs::symlink, net::UnixListener},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Instant,
};

const CONF: &str = "restrict default nomodify nopeer noquery\nrestrict 127.0.0.1\n";
const OTHER: &str =
    "restrict default nomodify nopeer noquery\nrestrict 198.51.100.0 mask 255.255.255.0 ignore\n";

/// A process; killed when dropped.
struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        // Already dead is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A user of the group locks whatever it can open; root attaches, reloads, and draws events all the same.
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

/// What a command comes to, which must end by itself.
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

/// Files that nobody reads to their end, and what is said of each.
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
            let mut command = lab.server.command(ntpguard_tests::guard::binary().unwrap());
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
        // What a directory is to the daemon that includes it is known: all in it, or nothing.
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
