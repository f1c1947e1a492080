//! The places of a pinned filter: its own BPF file system, and a state folder.

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

/// The places of one instance on a host. They vanish with the host's namespace.
pub struct Home<'a> {
    host: &'a Netns,
    files: TempDir,
}

impl<'a> Home<'a> {
    /// Makes the places on a host, with an ntp.conf.
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

    /// The folder that contains everything.
    pub fn path(&self) -> &Path {
        self.files.path()
    }

    /// The mount point of the BPF file system.
    pub fn bpffs(&self) -> PathBuf {
        self.path().join("bpf")
    }

    /// The path of the ntp.conf.
    pub fn conf(&self) -> PathBuf {
        self.path().join("ntp.conf")
    }

    /// Replaces the ntp.conf by renaming a new file, as editors do.
    ///
    /// # Errors
    /// The file can't be written.
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

    /// Runs a verb and returns its output.
    ///
    /// # Errors
    /// It wasn't built.
    pub fn output(&self, line: &str) -> Result<Output> {
        Ok(self.command(line)?.output()?)
    }

    /// Lets all users enter the folder, copies the binary to where they may run it, and makes a folder for a user's own state.
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

    /// Like [`Home::command`], as a user who has no rights and is in one group; call [`Home::open_to_all`] first.
    pub fn as_user(&self, group: &str, line: &str) -> Command {
        let mut command = self.host.command("setpriv");
        command.args(["--reuid=65534", &format!("--regid={group}"), "--clear-groups"]);
        command.arg(self.path().join("ntpguard")).args(line.split_whitespace()).args(self.places());
        command.env("XDG_STATE_HOME", self.path().join("user"));
        command
    }

    /// Runs a verb that must succeed, and returns its standard error.
    ///
    /// # Errors
    /// The verb fails.
    pub fn run(&self, line: &str) -> Result<String> {
        let output = self.output(line)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            bail!("`ntpguard {line}` failed: {said}");
        }
        Ok(said)
    }

    /// Attaches to the lab's interface, and returns the messages.
    ///
    /// # Errors
    /// Attaching fails.
    pub fn attach(&self) -> Result<String> {
        self.attach_with("")
    }

    /// Like [`Home::attach`], with additional options.
    ///
    /// # Errors
    /// The same as those of [`Home::attach`].
    pub fn attach_with(&self, options: &str) -> Result<String> {
        let output = self.output(&format!("{} {options}", self.attaching()))?;
        let said =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        if !output.status.success() {
            bail!("not attached: {said}");
        }
        Ok(said)
    }

    /// The arguments that attach.
    pub fn attaching(&self) -> String {
        format!("attach --interface {INTERFACE} --dialect ntpsec --config {}", self.conf().display())
    }

    /// Starts `ntpguard run` in these places.
    ///
    /// # Errors
    /// It doesn't attach.
    pub fn guarding(&self) -> Result<Guarding> {
        self.guarding_with(&[])
    }

    /// Like [`Home::guarding`], with additional options.
    ///
    /// # Errors
    /// The same as those of [`Home::guarding`].
    pub fn guarding_with(&self, options: &[&str]) -> Result<Guarding> {
        let [pins, state] = self.places();
        Guarding::start(self.host, &self.conf(), &[&[pins.as_str(), &state], options].concat())
    }

    /// Renames the pinned maps to those of an earlier version of the ABI.
    ///
    /// # Errors
    /// No maps are pinned.
    pub fn age(&self) -> Result<()> {
        let root = self.bpffs().join("ntpguard");
        let all =
            self.host.run(&format!("find {} -name v{}-*", root.display(), ntpguard_common::abi::VERSION))?;
        let current = all.lines().next().context("no maps are pinned")?;
        self.host.run(&format!("mv {current} {}", root.join("v0-7").display())).map(drop)
    }

    /// The output of `ntpguard status` as JSON.
    ///
    /// # Errors
    /// The output isn't JSON.
    pub fn status(&self) -> Result<Value> {
        let output = self.output("status --format json")?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// The number of pinned files.
    ///
    /// # Errors
    /// They can't be listed.
    pub fn pins(&self) -> Result<usize> {
        // Two levels down, below the files that the kernel itself puts there.
        let all = self.host.run(&format!("find {} -mindepth 2 -type f", self.bpffs().display()))?;
        Ok(all.lines().count())
    }
}
