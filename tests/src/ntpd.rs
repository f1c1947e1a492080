//! A real ntpd in a namespace: NTPsec, as Debian ships it.
//!
//! Contract: the daemon serves the lab and cannot touch this machine's clock. It needs no privilege to be refused
//! (without CAP_SYS_TIME it exits), so a seccomp filter answers its clock calls with "done".

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

/// What makes the lab's daemon answer at once, without a time source, and leave the clock alone.
const LAB_LINES: &str = "disable ntp\ntos orphan 5 orphanwait 1\n";

/// A running daemon; killed when dropped.
pub struct Ntpd<'a> {
    netns: &'a Netns,
    child: Child,
    log: File,
    /// It reads it when it comes to it.
    _conf: File,
}

impl<'a> Ntpd<'a> {
    /// Starts it with the text of an ntp.conf, and waits until it listens.
    ///
    /// # Errors
    /// It isn't installed, or doesn't come up.
    pub fn start(netns: &'a Netns, conf: &str) -> Result<Self> {
        Self::start_with(netns, conf, &[])
    }

    /// As [`Ntpd::start`], with more words on its command line.
    ///
    /// # Errors
    /// As there.
    pub fn start_with(netns: &'a Netns, conf: &str, arguments: &[&str]) -> Result<Self> {
        let mut daemon = Self::spawn(netns, conf, arguments)?;
        daemon.wait()?;
        Ok(daemon)
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Starts one on each host, and waits for all of them together.
    ///
    /// # Errors
    /// As [`Ntpd::start`].
    pub fn start_all(hosts: impl IntoIterator<Item = &'a Netns>, conf: &str) -> Result<Vec<Self>> {
        let mut daemons =
            hosts.into_iter().map(|host| Self::spawn(host, conf, &[])).collect::<Result<Vec<_>>>()?;
        daemons.iter_mut().try_for_each(Self::wait)?;
        Ok(daemons)
    }

    fn spawn(netns: &'a Netns, conf: &str, arguments: &[&str]) -> Result<Self> {
        let mut file = in_memory("ntp.conf")?;
        file.write_all(format!("{LAB_LINES}{conf}").as_bytes())?;
        let log = in_memory("ntpd.log")?;
        let mut command = netns.command(installed("ntpsec/usr/sbin/ntpd")?);
        command.arg("-n").arg("-c").arg(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()));
        command.args(arguments);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
        let no_clock = no_clock()?;
        // SAFETY: installs a ready filter by two system calls; nothing is allocated.
        unsafe {
            command.pre_exec(move || seccompiler::apply_filter(&no_clock).map_err(std::io::Error::other));
        }
        let child = command.spawn().context("can't start ntpd")?;
        Ok(Self { netns, child, log, _conf: file })
    }

    fn wait(&mut self) -> Result<()> {
        let start = Instant::now();
        let mut answer = self.ntpq("rv 0 stratum");
        while !answer.as_ref().is_ok_and(|answer| answer.contains("stratum=5")) {
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
        // What can't be read isn't shown.
        let _ = self.log.rewind().and_then(|()| self.log.read_to_string(&mut said));
        anyhow!("ntpd isn't ready: {answer:?}; it said:\n{said}")
    }

    /// What the daemon answers to ntpq over its own loopback, which no guard sees.
    ///
    /// # Errors
    /// ntpq isn't installed, or gets no answer.
    pub fn ntpq(&self, query: &str) -> Result<String> {
        let mut command = self.netns.command("python3");
        // Debian's interpreter has Debian's modules, whichever one stands first on the path.
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").arg(installed("ntpsec/usr/bin/ntpq")?);
        let output = command.args(["-c", query, "127.0.0.1"]).output().context("can't run ntpq")?;
        let said = [&output.stdout[..], &output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        if !output.status.success() || said.contains("***") {
            bail!("ntpq -c '{query}': {said}");
        }
        Ok(said)
    }

    /// One line of `ntpq -c sysstats`, as "restricted".
    ///
    /// # Errors
    /// As [`Ntpd::ntpq`], or there is no such line.
    pub fn sysstat(&self, name: &str) -> Result<u64> {
        let table = self.ntpq("sysstats")?;
        let line = table.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let value = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        value.with_context(|| format!("sysstats has no `{name}`:\n{table}"))
    }

    /// Kills it as a crash would.
    ///
    /// # Errors
    /// It is gone already.
    pub fn crash(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Ntpd<'_> {
    fn drop(&mut self) {
        // Already dead is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file of the packages that `cargo xtask setup` unpacks, without installing it: an installed ntpsec would start,
/// steer this machine's clock, and push out its own time service.
///
/// # Errors
/// It isn't there.
pub fn installed(file: &str) -> Result<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/lab").join(file);
    if !path.exists() {
        bail!("{} is missing: run `cargo xtask setup`", path.display());
    }
    Ok(path)
}

/// What NTPsec's client says of a server that it asks once, from a namespace.
///
/// # Errors
/// It isn't installed.
pub fn ntpdig(netns: &Netns, server: &str) -> Result<String> {
    let mut command = netns.command("python3");
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").arg(installed("ntpdig/usr/bin/ntpdig")?);
    let output = command.args(["-d", "-t", "1", server]).output().context("can't run ntpdig")?;
    let said = [&output.stdout[..], &output.stderr].concat();
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// A file that is gone with its last descriptor.
fn in_memory(name: &str) -> Result<File> {
    Ok(memfd_create(name, MFdFlags::MFD_CLOEXEC)?.into())
}

/// Every call that sets the clock succeeds and does nothing.
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
