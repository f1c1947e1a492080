//! A reader of the book who types its commands as root, on a host with the interface eth0, NTPsec's ntpd with its ntp.conf
//! in /etc/ntpsec, and attackers and clients outside.
//!
//! Contract: the host's /etc, /var/lib and /sys/fs/bpf are mounted in the namespace only, so the effects of a command
//! vanish with it.

use crate::{
    client::Wire,
    frame::{Frame, payload},
    guard::binary,
    netns::{INTERFACE, Lab},
    ntpd::Ntpd,
};
use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use std::{
    fs::{self, File, Permissions},
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        process::CommandExt as _,
    },
    path::PathBuf,
    process::{Child, ExitStatus, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The interface's name in the book.
const CARD: &str = "eth0";

/// The book's ntp.conf; line 3 is the one that ntpguard enforces for all sources. The last lines make the lab's daemon
/// serve time at once.
const CONF: &str = "\
# An ordinary server.
driftfile /var/lib/ntpsec/ntp.drift
restrict default kod limited nomodify noquery
restrict 127.0.0.1
restrict ::1
restrict 192.0.2.0 mask 255.255.255.0 nomodify
restrict 198.51.100.0 mask 255.255.255.0 ignore
disable ntp
tos orphan 5 orphanwait 1
";

/// An ntp.conf with a typing error.
const BROKEN: &str = "restrict default kod limited nomodify noqurey\nrestrict 127.0.0.1\nrestrict ::1\n";

/// Time limit for a command that ends by itself, on a machine that may be busy.
const SCREEN_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a command that doesn't end by itself is observed.
const LOOK: Duration = Duration::from_secs(1);
/// Arguments of commands that run until Ctrl-C.
const ENDLESS: [&str; 6] = ["run", "--follow", "-f", "--watch", "capture", "--confirm"];

/// The host, and the processes that run there.
pub struct Reader<'a> {
    lab: &'a Lab,
    files: TempDir,
    guard: Option<Running>,
    /// The last field, so that it is dropped last.
    _daemon: Ntpd<'a>,
}

/// A running command.
struct Running {
    child: Child,
    output: PathBuf,
}

/// The outcome of a command.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code.
    pub code: Option<i32>,
    /// Its standard output and standard error.
    pub output: String,
}

impl<'a> Reader<'a> {
    /// Prepares a host of the lab for the reader.
    ///
    /// # Errors
    /// Not root, or set-up is incomplete.
    pub fn new(lab: &'a Lab) -> Result<Self> {
        let files = tempfile::tempdir()?;
        let path = |name: &str| files.path().join(name).display().to_string();
        let server = &lab.server;
        for line in [
            format!("ip link set {INTERFACE} down"),
            format!("ip link set {INTERFACE} name {CARD}"),
            format!("ip link set {CARD} up"),
            format!("ip address replace 2001:db8::1/64 dev {CARD} nodad"),
            format!("ip route replace default via 192.0.2.2 dev {CARD}"),
            format!("ip -6 route replace default via 2001:db8::2 dev {CARD}"),
            format!("cp --archive /etc {}", path("etc")),
            format!("mount --bind {} /etc", path("etc")),
            "mount -t tmpfs tmpfs /var/lib".to_owned(),
            "mount -t bpf bpf /sys/fs/bpf".to_owned(),
        ] {
            server.run(&line)?;
        }
        let etc = files.path().join("etc");
        fs::create_dir_all(etc.join("ntpsec"))?;
        fs::write(etc.join("ntpsec/ntp.conf"), CONF)?;
        let (bin, work) = (files.path().join("bin"), files.path().join("work"));
        fs::create_dir(&bin)?;
        fs::create_dir(&work)?;
        fs::write(work.join("ntp.conf"), BROKEN)?;
        symlink(binary()?, bin.join("ntpguard"))?;
        fs::write(bin.join("sudo"), "#!/bin/sh\nexec \"$@\"\n")?;
        fs::set_permissions(bin.join("sudo"), Permissions::from_mode(0o755))?;
        // Given two files, the daemon and ntpguard both use the last one.
        let daemon = Ntpd::start_with(server, "", &["-c", "/etc/ntpsec/ntp.conf"])?;
        Ok(Self { lab, files, guard: None, _daemon: daemon })
    }

    /// Types a line, and waits for the command to end. `ntpguard run` continues until [`Reader::interrupt`]; other commands
    /// that don't end are observed and then interrupted, while packets arrive.
    ///
    /// # Errors
    /// The command can't be run, or doesn't end.
    pub fn types(&mut self, line: &str) -> Result<Outcome> {
        // The text after ` # ` is a comment for readers.
        let line = line.split(" # ").next().unwrap_or(line);
        let words: Vec<_> = line.split_whitespace().collect();
        let guards = words.contains(&"ntpguard") && words.contains(&"run");
        let goes_on = ENDLESS.iter().any(|word| words.contains(word));
        if guards {
            self.interrupt()?;
        }
        let mut running = self.start(line)?;
        if guards {
            let guarding = |running: &mut Running| Ok(running.said()?.contains(&format!("guarding {CARD}")));
            if running.waits(SCREEN_TIMEOUT, guarding)? {
                let output = running.said()?;
                self.guard = Some(running);
                return Ok(Outcome { code: Some(0), output });
            }
            bail!("`{line}` doesn't guard: {}", running.said()?);
        }
        let done = AtomicBool::new(false);
        let wire = Wire::open(&self.lab.outside)?;
        thread::scope(|scope| {
            scope.spawn(|| attack(&wire, &done));
            let ended = running.ends(line, goes_on);
            done.store(true, Ordering::Relaxed);
            Ok(Outcome { code: ended?.code(), output: running.said()? })
        })
    }

    /// Sends Ctrl-C to `ntpguard run`, if it is running.
    ///
    /// # Errors
    /// `ntpguard run` fails.
    pub fn interrupt(&mut self) -> Result<()> {
        let Some(mut guard) = self.guard.take() else { return Ok(()) };
        let status = guard.interrupt()?;
        if !status.success() {
            bail!("`ntpguard run` ended with {status}: {}", guard.said()?);
        }
        Ok(())
    }

    /// Turns to another page of the book, which begins without a filter and without state.
    ///
    /// # Errors
    /// The filter can't be removed.
    pub fn turns_the_page(&mut self) -> Result<()> {
        self.interrupt()?;
        let outcome = self.types("ntpguard detach --all")?;
        if outcome.code != Some(0) {
            bail!("the filter stays: {}", outcome.output);
        }
        self.lab.server.run("rm -rf /var/lib/ntpguard").map(drop)
    }

    fn start(&self, line: &str) -> Result<Running> {
        let path = |name: &str| self.files.path().join(name);
        let output = path("output");
        // A command that is still running keeps its own output file.
        let _ = fs::remove_file(&output);
        let file = File::options().create(true).append(true).read(true).open(&output)?;
        let mut command = self.lab.server.command("sh");
        // With `exec`, the command itself gets Ctrl-C instead of the shell.
        let exec = if line.contains(['|', ';', '&', '>']) { "" } else { "exec " };
        command.arg("-c").arg(format!("cd {} && {exec}{line}", path("work").display()));
        let paths = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:/usr/sbin:/sbin:{paths}", path("bin").display())).process_group(0);
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("can't run `{line}`"))?;
        let kept = path(&format!("output-{}", child.id()));
        fs::rename(&output, &kept)?;
        Ok(Running { child, output: kept })
    }
}

impl Running {
    fn said(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.output)?).into_owned())
    }

    /// Waits until a condition holds; `false` if the command ends before, or the time is over.
    fn waits(&mut self, patience: Duration, holds: impl Fn(&mut Self) -> Result<bool>) -> Result<bool> {
        let start = Instant::now();
        loop {
            if holds(self)? {
                return Ok(true);
            }
            if self.child.try_wait()?.is_some() || start.elapsed() > patience {
                return Ok(false);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn ends(&mut self, line: &str, goes_on: bool) -> Result<ExitStatus> {
        let ended = |running: &mut Self| Ok(running.child.try_wait()?.is_some());
        if self.waits(if goes_on { LOOK } else { SCREEN_TIMEOUT }, ended)? || self.child.try_wait()?.is_some()
        {
            return Ok(self.child.wait()?);
        }
        if !goes_on {
            bail!("`{line}` doesn't end: {}", self.said()?);
        }
        self.interrupt()
    }

    fn interrupt(&mut self) -> Result<ExitStatus> {
        // It may have ended just now.
        let _ = killpg(Pid::from_raw(self.child.id() as i32), Signal::SIGINT);
        Ok(self.child.wait()?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = killpg(Pid::from_raw(self.child.id() as i32), Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

/// Sends packets of each kind, a few at a time.
fn attack(wire: &Wire, done: &AtomicBool) {
    let frames = [
        Frame::from("203.0.113.5", 40000).payload(payload::MONLIST).build(),
        Frame::from("203.0.113.6", 40000).payload(payload::READVAR).build(),
        Frame::from("198.51.100.7", 123).payload(&payload::time(3, 4)).build(),
        Frame::from("192.0.2.2", 40000).payload(&payload::time(3, 4)).build(),
    ];
    while !done.load(Ordering::Relaxed) {
        // Sending fails while the wire is down, which doesn't matter here.
        frames.iter().for_each(|frame| drop(wire.send(frame)));
        thread::sleep(Duration::from_millis(5));
    }
}

/// The first expected line that the output doesn't have. `…` stands for any text, and the output may have other lines in between.
pub fn missing<'a>(shown: &'a [String], output: &str) -> Option<&'a str> {
    let mut lines = output.lines();
    shown
        .iter()
        .map(|line| line.trim())
        .filter(|line| !line.is_empty())
        .find(|line| !lines.any(|is| fits(line, is)))
}

fn fits(shown: &str, line: &str) -> bool {
    let mut rest = line.trim();
    let mut parts = shown.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(after) = rest.strip_prefix(first) else { return false };
    rest = after;
    let Some(last) = shown.split('…').skip(1).last() else { return rest.is_empty() };
    parts.all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    }) && (last.is_empty() || line.trim().ends_with(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_must_be_written() {
        let shown = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let output = "policy from /a, read\nnoise\nguarding eth0, native XDP\n";
        assert_eq!(missing(&shown("policy from …, read\n\nguarding eth0, …"), output), None);
        assert_eq!(
            missing(&shown("guarding eth0, native XDP\npolicy from /a, read"), output),
            Some("policy from /a, read")
        );
        for wrong in ["guarding eth0", "… eth0, generic", "policy …, reads", "guarding eth1…", "noise …s"]
        {
            assert_eq!(missing(&shown(wrong), output), Some(wrong));
        }
    }
}
