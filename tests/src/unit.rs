//! ntpguard as its systemd unit runs it: with few rights, as a user without others, and with a service manager that listens.

use crate::{guard::binary, home::Home, netns::Netns};
use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Gid, Pid, Uid, chown},
};
use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt as _, net::UnixDatagram},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// The unit's CapabilityBoundingSet=, in the syntax of setpriv(1).
pub const RIGHTS: &str = "+bpf,+net_admin,+perfmon";
/// The user nobody: a harder test than the unit's root without rights, who still owns files.
const NOBODY: u32 = 65534;

/// Places that belong to such a user.
pub struct Unit<'a> {
    host: &'a Netns,
    /// The places.
    pub home: Home<'a>,
    binary: PathBuf,
    manager: UnixDatagram,
}

impl<'a> Unit<'a> {
    /// Makes the places on a host, with an ntp.conf.
    ///
    /// # Errors
    /// Not root.
    pub fn new(host: &'a Netns, conf: &str) -> Result<Self> {
        let home = Home::new(host, conf)?;
        let path = |name: &str| home.path().join(name);
        // Other users may not enter the folder of the original.
        let copy = path("ntpguard");
        fs::copy(binary()?, &copy)?;
        fs::create_dir(path("state"))?;
        chown(&path("state"), Some(Uid::from_raw(NOBODY)), Some(Gid::from_raw(NOBODY)))?;
        fs::set_permissions(home.path(), Permissions::from_mode(0o755))?;
        let manager = UnixDatagram::bind(path("manager"))?;
        manager.set_read_timeout(Some(Duration::from_secs(10)))?;
        fs::set_permissions(path("manager"), Permissions::from_mode(0o777))?;
        Ok(Self { host, home, binary: copy, manager })
    }

    /// A verb in these places, as that user, with these rights and no way to gain others.
    pub fn command(&self, rights: &str, line: &str) -> Command {
        let mut command = self.host.command("setpriv");
        command.args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups"]);
        command.args(
            ["--inh-caps", "--ambient-caps", "--bounding-set"].map(|set| format!("{set}=-all,{rights}")),
        );
        // Changing the user has cleared the parent-death signal, so it is set again.
        command.arg("--pdeathsig=KILL").arg(&self.binary);
        command.args(line.split_whitespace()).args(self.home.places());
        command.env("NOTIFY_SOCKET", self.home.path().join("manager")).env("WATCHDOG_USEC", "600000");
        command
    }

    /// The output of a verb that must succeed.
    ///
    /// # Errors
    /// The verb fails.
    pub fn run(&self, line: &str) -> Result<String> {
        let output = self.command(RIGHTS, line).output()?;
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        if !output.status.success() {
            bail!("`ntpguard {line}` failed: {}", said.concat());
        }
        Ok(said.concat())
    }

    /// Starts `ntpguard run`, and waits until it reports that it is ready.
    ///
    /// # Errors
    /// It doesn't report that in time.
    pub fn start(&self, options: &str) -> Result<Started> {
        self.forget()?;
        let line = self.home.attaching().replacen("attach", "run", 1) + options;
        let mut command = self.command(RIGHTS, &line);
        let out = fs::File::create(self.home.path().join("log"))?;
        let child = command.stdout(Stdio::from(out.try_clone()?)).stderr(out).spawn()?;
        let started = Started { child };
        self.hear("READY=1").with_context(|| self.said())?;
        Ok(started)
    }

    /// Its standard output and standard error so far.
    pub fn said(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    /// Discards the notifications that the manager has got so far.
    fn forget(&self) -> Result<()> {
        self.manager.set_nonblocking(true)?;
        while self.manager.recv(&mut [0; 4096]).is_ok() {}
        Ok(self.manager.set_nonblocking(false)?)
    }

    /// Waits until the manager gets a notification with this line, and returns the whole message.
    ///
    /// # Errors
    /// The manager doesn't get it in time.
    pub fn hear(&self, wanted: &str) -> Result<String> {
        let start = Instant::now();
        let mut heard = Vec::new();
        while start.elapsed() < Duration::from_secs(10) {
            let mut bytes = [0; 4096];
            let length = self.manager.recv(&mut bytes).with_context(|| format!("{wanted}, not {heard:?}"))?;
            let message = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if message.lines().any(|line| line == wanted) {
                return Ok(message);
            }
            heard.push(message);
        }
        bail!("the manager wasn't told {wanted}, but {heard:?}")
    }
}

/// The running process; killed when dropped.
pub struct Started {
    child: Child,
}

impl Started {
    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal and waits for the process to end.
    ///
    /// # Errors
    /// The process is gone already.
    pub fn end(mut self, signal: Signal) -> Result<ExitStatus> {
        kill(Pid::from_raw(self.child.id() as i32), signal)?;
        Ok(self.child.wait()?)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
