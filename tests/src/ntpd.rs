//! A real ntpd in a namespace: NTPsec's, as Debian ships it.
//!
//! Contract: the daemon serves the lab and can't touch this machine's clock. Taking away CAP_SYS_TIME would make it exit,
//! so a seccomp filter makes its clock calls succeed without effect.

use crate::netns::Netns;
use anyhow::{Context as _, Result, anyhow, bail};
use nix::{
    libc,
    sys::memfd::{MFdFlags, memfd_create},
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use std::{
    fs::File,
    io::{Read as _, Seek as _, Write as _},
    os::{fd::AsRawFd as _, unix::process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Lines by which the lab's daemon serves time at once, without a time source, and leaves the clock alone.
const LAB_LINES: &str = "disable ntp\ntos orphan 5 orphanwait 1\n";

/// A running daemon; killed when dropped.
pub struct Ntpd<'a> {
    netns: &'a Netns,
    child: Child,
    log: File,
    /// Kept open for the daemon, which reads it some time after its start.
    _conf: File,
}

impl<'a> Ntpd<'a> {
    /// Starts a daemon with this text as its ntp.conf, and waits until it serves time.
    ///
    /// # Errors
    /// The daemon isn't installed, or doesn't start to serve.
    pub fn start(netns: &'a Netns, conf: &str) -> Result<Self> {
        Self::start_with(netns, conf, &[])
    }

    /// Like [`Ntpd::start`], with additional command-line arguments.
    ///
    /// # Errors
    /// The same as those of [`Ntpd::start`].
    pub fn start_with(netns: &'a Netns, conf: &str, arguments: &[&str]) -> Result<Self> {
        let mut daemon = Self::spawn(netns, conf, arguments)?;
        daemon.wait()?;
        Ok(daemon)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Starts a daemon on each host, and waits for all of them together.
    ///
    /// # Errors
    /// The same as those of [`Ntpd::start`].
    pub fn start_all(hosts: impl IntoIterator<Item = &'a Netns>, conf: &str) -> Result<Vec<Self>> {
        let mut daemons =
            hosts.into_iter().map(|host| Self::spawn(host, conf, &[])).collect::<Result<Vec<_>>>()?;
        daemons.iter_mut().try_for_each(Self::wait)?;
        Ok(daemons)
    }

    /// Like [`Ntpd::start_with`], without waiting: for a daemon that doesn't answer ntpq over loopback.
    ///
    /// # Errors
    /// The daemon isn't installed.
    pub fn spawn(netns: &'a Netns, conf: &str, arguments: &[&str]) -> Result<Self> {
        let mut file = in_memory("ntp.conf")?;
        file.write_all(format!("{LAB_LINES}{conf}").as_bytes())?;
        let log = in_memory("ntpd.log")?;
        let mut command = netns.command(installed("ntpsec/usr/sbin/ntpd")?);
        command.arg("-n").arg("-c").arg(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()));
        command.args(arguments);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
        let no_clock = no_clock()?;
        // SAFETY: installs a prepared filter by two system calls; nothing is allocated.
        unsafe {
            command.pre_exec(move || seccompiler::apply_filter(&no_clock).map_err(std::io::Error::other));
        }
        let child = command.spawn().context("can't start ntpd")?;
        Ok(Self { netns, child, log, _conf: file })
    }

    fn wait(&mut self) -> Result<()> {
        let start = Instant::now();
        // Its own stratum, or the next one if it has synchronised to a server of the lab by then.
        let serves = |answer: &Result<String>| {
            answer.as_ref().is_ok_and(|answer| answer.contains("stratum=5") || answer.contains("stratum=6"))
        };
        let mut answer = self.ntpq("rv 0 stratum");
        while !serves(&answer) {
            if start.elapsed() > Duration::from_secs(60) {
                return Err(self.failure(answer));
            }
            thread::sleep(Duration::from_millis(100));
            answer = self.ntpq("rv 0 stratum");
        }
        Ok(())
    }

    fn failure(&mut self, answer: Result<String>) -> anyhow::Error {
        let mut said = String::new();
        // If the log can't be read, the error is shown without it.
        let _ = self.log.rewind().and_then(|()| self.log.read_to_string(&mut said));
        anyhow!("ntpd isn't ready: {answer:?}; it said:\n{said}")
    }

    /// The daemon's answer to ntpq over its own loopback, where no filter is attached.
    ///
    /// # Errors
    /// ntpq isn't installed, or gets no answer.
    pub fn ntpq(&self, query: &str) -> Result<String> {
        let mut command = self.netns.command("python3");
        // Debian's interpreter has Debian's modules, so it has to be the first one on the path.
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").arg(installed("ntpsec/usr/bin/ntpq")?);
        let output = command.args(["-c", query, "127.0.0.1"]).output().context("can't run ntpq")?;
        let said = [&output.stdout[..], &output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        if !output.status.success() || said.contains("***") {
            bail!("ntpq -c '{query}': {said}");
        }
        Ok(said)
    }

    /// The value of one line of `ntpq -c sysstats`, such as "restricted".
    ///
    /// # Errors
    /// The same as those of [`Ntpd::ntpq`], or there is no such line.
    pub fn sysstat(&self, name: &str) -> Result<u64> {
        let table = self.ntpq("sysstats")?;
        let line = table.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let value = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        value.with_context(|| format!("sysstats has no `{name}`:\n{table}"))
    }

    /// The number of its associations that it reaches.
    ///
    /// # Errors
    /// The same as those of [`Ntpd::ntpq`].
    pub fn reached(&self) -> Result<usize> {
        let list = self.ntpq("associations")?;
        // The fifth column is `reach`.
        Ok(list.lines().filter(|line| line.split_whitespace().nth(4) == Some("yes")).count())
    }

    /// Kills the daemon, like a crash.
    ///
    /// # Errors
    /// The daemon is gone already.
    pub fn crash(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Ntpd<'_> {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The path of a file that `cargo xtask setup` has unpacked. Packages are unpacked rather than installed, since an
/// installed ntpsec would start, steer this machine's clock, and replace its time service.
///
/// # Errors
/// The file isn't there.
pub fn installed(file: &str) -> Result<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/lab").join(file);
    if !path.exists() {
        bail!("{} is missing: run `cargo xtask setup`", path.display());
    }
    Ok(path)
}

/// The output of NTPsec's client, which queries a server once from a namespace.
///
/// # Errors
/// The client isn't installed.
pub fn ntpdig(netns: &Netns, server: &str) -> Result<String> {
    let mut command = netns.command("python3");
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").arg(installed("ntpdig/usr/bin/ntpdig")?);
    let output = command.args(["-d", "-t", "1", server]).output().context("can't run ntpdig")?;
    let said = [&output.stdout[..], &output.stderr].concat();
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// A file that vanishes with its last descriptor.
fn in_memory(name: &str) -> Result<File> {
    Ok(memfd_create(name, MFdFlags::MFD_CLOEXEC)?.into())
}

/// A seccomp filter in which every call that sets the clock succeeds without effect.
pub(crate) fn no_clock() -> Result<BpfProgram> {
    let calls =
        [libc::SYS_clock_adjtime, libc::SYS_adjtimex, libc::SYS_clock_settime, libc::SYS_settimeofday];
    let rules = calls.map(|call| (call, vec![])).into_iter().collect();
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(0),
        std::env::consts::ARCH.try_into()?,
    )?;
    Ok(filter.try_into()?)
}
