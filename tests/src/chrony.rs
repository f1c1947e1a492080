//! A real chronyd in a namespace, as Debian ships it.
//!
//! Contract: it never adjusts a clock: the option `-x` tells it not to, and a seccomp filter prevents it.

use crate::{
    netns::Netns,
    ntpd::{installed, no_clock},
};
use anyhow::{Context as _, Result};
use std::{
    fs,
    os::unix::process::CommandExt as _,
    process::{Child, Stdio},
};
use tempfile::TempDir;

/// A running chronyd; killed when dropped.
pub struct Chronyd {
    child: Child,
    files: TempDir,
}

/// One measurement by an answer of its server, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// How far chronyd estimates its clock to be behind.
    pub offset: f64,
    /// The round-trip delay.
    pub delay: f64,
}

impl Chronyd {
    /// Starts a client that queries a server 64 times a second.
    ///
    /// # Errors
    /// chronyd isn't unpacked.
    pub fn start(netns: &Netns, server: &str) -> Result<Self> {
        Self::with(netns, &format!("server {server} minpoll -6 maxpoll -6\nport 0\nlog rawmeasurements\n"))
    }

    /// Starts a server on port 123 that has no upstream server.
    ///
    /// # Errors
    /// chronyd isn't unpacked.
    pub fn serve(netns: &Netns) -> Result<Self> {
        Self::with(netns, "allow\nlocal\n")
    }

    fn with(netns: &Netns, lines: &str) -> Result<Self> {
        let files = tempfile::tempdir()?;
        let folder = files.path().display();
        let conf = format!(
            "{lines}cmdport 0\nbindcmdaddress {folder}/socket\npidfile {folder}/pid\nlogdir {folder}\n"
        );
        let path = files.path().join("chrony.conf");
        fs::write(&path, conf)?;
        let mut command = netns.command(installed("chrony/usr/sbin/chronyd")?);
        command.args(["-x", "-d", "-u", "root", "-f"]).arg(path);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let no_clock = no_clock()?;
        // SAFETY: installs a prepared filter by two system calls; nothing is allocated.
        unsafe {
            command.pre_exec(move || seccompiler::apply_filter(&no_clock).map_err(std::io::Error::other));
        }
        Ok(Self { child: command.spawn().context("can't start chronyd")?, files })
    }

    /// Ends it, and returns its measurements.
    ///
    /// # Errors
    /// It has no measurements.
    pub fn end(mut self) -> Result<Vec<Sample>> {
        // SIGTERM, so that it writes out its log.
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(self.child.id() as i32),
            nix::sys::signal::Signal::SIGTERM,
        )?;
        self.child.wait()?;
        let log = fs::read_to_string(self.files.path().join("measurements.log"))
            .context("chronyd has measured nothing")?;
        Ok(log.lines().filter_map(sample).collect())
    }
}

impl Drop for Chronyd {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Parses a line of its log (chrony.conf(5), rawmeasurements): the offset is the 12th word and the delay the 13th. Only
/// answers that passed the packet tests, which the 6th word reports, count.
fn sample(line: &str) -> Option<Sample> {
    let words: Vec<_> = line.split_whitespace().collect();
    let number = |place: usize| words.get(place)?.parse().ok();
    if *words.get(5)? != "111" {
        return None;
    }
    Some(Sample { offset: number(11)?, delay: number(12)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_log() {
        let line = "2026-11-25 00:50:14 192.0.2.1       N  5 111 111 1111  -6 -6 0.00  1.250e-06  3.500e-05  1.000e-06 \
                    0.000e+00  1.000e-03 7F7F0101 4B K K";
        assert_eq!(sample(line), Some(Sample { offset: 1.25e-6, delay: 3.5e-5 }));
        assert_eq!(sample(&line.replacen("111 111", "101 111", 1)), None);
        assert_eq!(sample("==========="), None);
        assert_eq!(
            sample("   Date (UTC) Time     IP Address   L St 123 567 ABCD  LP RP Score    Offset"),
            None
        );
    }
}
