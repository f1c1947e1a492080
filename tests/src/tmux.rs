//! A terminal: a private tmux server with one window, in which a program runs as a user at a keyboard runs it.
//!
//! Contract: the server has its own socket, doesn't daemonise, and ends with this value, or with the test that started it.

use crate::{following::wait_for, netns::Netns};
use anyhow::{Context as _, Result, bail};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// A terminal.
pub struct Tmux<'a> {
    host: &'a Netns,
    files: TempDir,
    server: Option<Child>,
}

impl<'a> Tmux<'a> {
    /// Starts a shell on a host, in a terminal of this size.
    ///
    /// # Errors
    /// tmux isn't installed: `cargo xtask setup`.
    pub fn new(host: &'a Netns, (width, height): (u16, u16)) -> Result<Self> {
        let mut tmux = Self { host, files: tempfile::tempdir()?, server: None };
        // Without any user's settings, and with UTF-8 on every machine.
        let mut server = tmux.command();
        server.args(["-f", "/dev/null", "-u", "-D"]).stdin(Stdio::null()).stdout(Stdio::null());
        tmux.server = Some(server.spawn().context("can't run tmux: `cargo xtask setup`")?);
        wait_for("tmux", || tmux.socket().exists());
        let size = [width.to_string(), height.to_string()];
        // A known prompt.
        let shell = "exec env PS1='$ ' LANG=C.UTF-8 LC_ALL=C.UTF-8 sh";
        tmux.run(&["-u", "new-session", "-d", "-x", &size[0], "-y", &size[1], shell])?;
        wait_for("a prompt", || tmux.screen().is_ok_and(|screen| screen.starts_with('$')));
        Ok(tmux)
    }

    fn socket(&self) -> PathBuf {
        self.files.path().join("socket")
    }

    fn command(&self) -> Command {
        let mut command = self.host.command("tmux");
        command
            .arg("-S")
            .arg(self.socket())
            .env("LC_ALL", "C.UTF-8")
            .env_remove("TMUX")
            .env_remove("NO_COLOR");
        command
    }

    fn run(&self, arguments: &[&str]) -> Result<String> {
        let output =
            self.command().args(arguments).output().context("can't run tmux: `cargo xtask setup`")?;
        if !output.status.success() {
            bail!("tmux {arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Changes the folder, clears the screen, and sets another prompt, `%`.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn begin(&self, folder: &Path) -> Result<()> {
        self.line(&format!("cd {}; PS1='% '; clear", folder.display()))?;
        self.shows("another prompt", |screen| screen.trim() == "%");
        Ok(())
    }

    /// The text on the screen, without trailing blanks.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn screen(&self) -> Result<String> {
        self.run(&["capture-pane", "-p"])
    }

    /// The text on the screen with the escape sequences of colours.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn coloured(&self) -> Result<String> {
        self.run(&["capture-pane", "-p", "-e"])
    }

    /// Whether a program uses the alternate screen.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn is_taken(&self) -> Result<bool> {
        Ok(self.run(&["display-message", "-p", "#{alternate_on}"])?.trim() == "1")
    }

    /// Types a line and Enter.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn line(&self, line: &str) -> Result<()> {
        self.run(&["send-keys", "-l", line])?;
        self.press("Enter")
    }

    /// Presses a key, by tmux's name for it.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn press(&self, key: &str) -> Result<()> {
        self.run(&["send-keys", key]).map(drop)
    }

    /// Resizes the terminal.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn resize(&self, (width, height): (u16, u16)) -> Result<()> {
        let size = [width.to_string(), height.to_string()];
        self.run(&["resize-window", "-x", &size[0], "-y", &size[1]]).map(drop)
    }

    /// Waits until the screen is as wanted, and returns its text.
    ///
    /// # Panics
    /// It isn't in time; the message contains the last screen.
    pub fn shows(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for(what, || {
                last = self.screen().unwrap_or_default();
                wanted(&last)
            });
        }));
        assert!(waited.is_ok(), "no {what} on\n{last}");
        last
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        // The programs in the terminal get a hang-up. The server may be dead already.
        let _ = self.run(&["kill-server"]);
        let _ = server.kill();
        let _ = server.wait();
    }
}
