//! Places for a filter that stays: a BPF file system of its own, and a folder for what is known about it.

use crate::{
    guard::{Guarding, binary},
    netns::{INTERFACE, Netns},
};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

/// The places. They vanish with the namespace of the host that has them.
pub struct Home<'a> {
    host: &'a Netns,
    files: TempDir,
}

impl<'a> Home<'a> {
    /// Makes them on a host, with an ntp.conf.
    ///
    /// # Errors
    /// Not root.
    pub fn new(host: &'a Netns, conf: &str) -> Result<Self> {
        let home = Self { host, files: tempfile::tempdir()? };
        fs::create_dir(home.bpffs())?;
        host.run(&format!("mount -t bpf bpf {}", home.bpffs().display()))?;
        home.write(conf)?;
        Ok(home)
    }

    /// The folder with everything in it.
    pub fn path(&self) -> &Path {
        self.files.path()
    }

    /// Where the BPF file system is.
    pub fn bpffs(&self) -> PathBuf {
        self.path().join("bpf")
    }

    /// The ntp.conf.
    pub fn conf(&self) -> PathBuf {
        self.path().join("ntp.conf")
    }

    /// Replaces the ntp.conf, as an editor does.
    ///
    /// # Errors
    /// No room.
    pub fn write(&self, conf: &str) -> Result<()> {
        let new = self.path().join("ntp.conf~");
        fs::write(&new, conf)?;
        Ok(fs::rename(new, self.conf())?)
    }

    /// The options that name the places.
    pub fn places(&self) -> [String; 2] {
        let path = |name: &str| self.path().join(name).display().to_string();
        [format!("--pin-path={}", path("bpf/ntpguard")), format!("--state-dir={}", path("state"))]
    }

    /// A verb of `ntpguard` with its options, in these places.
    ///
    /// # Errors
    /// It wasn't built.
    pub fn command(&self, line: &str) -> Result<Command> {
        let mut command = self.host.command(binary()?);
        command.args(line.split_whitespace()).args(self.places());
        Ok(command)
    }

    /// What a verb comes to.
    ///
    /// # Errors
    /// It wasn't built.
    pub fn output(&self, line: &str) -> Result<Output> {
        Ok(self.command(line)?.output()?)
    }

    /// Opens the way there to all users, and has the binary where each may run it, and a folder for what is a user's own.
    ///
    /// # Errors
    /// It wasn't built.
    pub fn open_to_all(&self) -> Result<()> {
        for path in [self.path(), &self.bpffs()] {
            fs::set_permissions(path, Permissions::from_mode(0o755))?;
        }
        fs::copy(binary()?, self.path().join("ntpguard"))?;
        let user_state = self.path().join("user");
        fs::create_dir(&user_state)?;
        Ok(fs::set_permissions(&user_state, Permissions::from_mode(0o777))?)
    }

    /// As [`Home::command`], by a user who has no rights and is in one group; after [`Home::open_to_all`].
    pub fn as_user(&self, group: &str, line: &str) -> Command {
        let mut command = self.host.command("setpriv");
        command.args(["--reuid=65534", &format!("--regid={group}"), "--clear-groups"]);
        command.arg(self.path().join("ntpguard")).args(line.split_whitespace()).args(self.places());
        command.env("XDG_STATE_HOME", self.path().join("user"));
        command
    }

    /// What a verb says on standard error; it must succeed.
    ///
    /// # Errors
    /// It doesn't.
    pub fn run(&self, line: &str) -> Result<String> {
        let output = self.output(line)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            bail!("`ntpguard {line}` failed: {said}");
        }
        Ok(said)
    }

    /// Attaches to the lab's interface, and returns what was said.
    ///
    /// # Errors
    /// It isn't attached.
    pub fn attach(&self) -> Result<String> {
        self.attach_with("")
    }

    /// As [`Home::attach`], with more options.
    ///
    /// # Errors
    /// As there.
    pub fn attach_with(&self, options: &str) -> Result<String> {
        let output = self.output(&format!("{} {options}", self.attaching()))?;
        let said =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        if !output.status.success() {
            bail!("not attached: {said}");
        }
        Ok(said)
    }

    /// The line that attaches.
    pub fn attaching(&self) -> String {
        format!("attach --interface {INTERFACE} --dialect ntpsec --config {}", self.conf().display())
    }

    /// Starts `ntpguard run` here.
    ///
    /// # Errors
    /// It doesn't attach.
    pub fn guarding(&self) -> Result<Guarding> {
        self.guarding_with(&[])
    }

    /// As [`Home::guarding`], with more options.
    ///
    /// # Errors
    /// As there.
    pub fn guarding_with(&self, options: &[&str]) -> Result<Guarding> {
        let [pins, state] = self.places();
        Guarding::start(self.host, &self.conf(), &[&[pins.as_str(), &state], options].concat())
    }

    /// Makes the pinned maps those of an earlier version of the ABI.
    ///
    /// # Errors
    /// There are none.
    pub fn age(&self) -> Result<()> {
        let root = self.bpffs().join("ntpguard");
        let all =
            self.host.run(&format!("find {} -name v{}-*", root.display(), ntpguard_common::abi::VERSION))?;
        let current = all.lines().next().context("no maps are pinned")?;
        self.host.run(&format!("mv {current} {}", root.join("v0-7").display())).map(drop)
    }

    /// What `ntpguard status` says.
    ///
    /// # Errors
    /// It says nothing that is JSON.
    pub fn status(&self) -> Result<Value> {
        let output = self.output("status --format json")?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// How many files are pinned.
    ///
    /// # Errors
    /// They can't be listed.
    pub fn pins(&self) -> Result<usize> {
        // Beside what the kernel itself puts there.
        let all = self.host.run(&format!("find {} -mindepth 2 -type f", self.bpffs().display()))?;
        Ok(all.lines().count())
    }
}
