//! A terminal: a tmux server of its own, with one window, in which a program runs as somebody at a keyboard runs it.
//!
//! Contract: the server has a socket of its own, is no daemon, and ends with this value, or with the test that started it.

use crate::{following::wait_for, netns::Netns};
use anyhow::{Context as _, Result, bail};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// The terminal.
pub struct Tmux<'a> {
    host: &'a Netns,
    files: TempDir,
    server: Option<Child>,
}

impl<'a> Tmux<'a> {
    /// A shell in a terminal of this size, on a host.
    ///
    /// # Errors
    /// There is no tmux: `cargo xtask setup`.
    pub fn new(host: &'a Netns, (width, height): (u16, u16)) -> Result<Self> {
        let mut tmux = Self { host, files: tempfile::tempdir()?, server: None };
        // Nobody's own settings, and UTF-8 wherever this runs.
        let mut server = tmux.command();
        server.args(["-f", "/dev/null", "-u", "-D"]).stdin(Stdio::null()).stdout(Stdio::null());
        tmux.server = Some(server.spawn().context("can't run tmux: `cargo xtask setup`")?);
        wait_for("tmux", || tmux.socket().exists());
        let size = [width.to_string(), height.to_string()];
        // A prompt that is known.
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

    /// Begins anew in a folder, on an empty screen with another prompt, a `%`.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn begin(&self, folder: &Path) -> Result<()> {
        self.line(&format!("cd {}; PS1='% '; clear", folder.display()))?;
        self.shows("another prompt", |screen| screen.trim() == "%");
        Ok(())
    }

    /// What is on the screen, without blanks at the ends of its lines.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn screen(&self) -> Result<String> {
        self.run(&["capture-pane", "-p"])
    }

    /// The same with the escape sequences that make colours.
    ///
    /// # Errors
    /// As there.
    pub fn coloured(&self) -> Result<String> {
        self.run(&["capture-pane", "-p", "-e"])
    }

    /// Whether a program has taken the whole screen, and would give it back (the alternate screen).
    ///
    /// # Errors
    /// As there.
    pub fn is_taken(&self) -> Result<bool> {
        Ok(self.run(&["display-message", "-p", "#{alternate_on}"])?.trim() == "1")
    }

    /// Types a line, and Enter.
    ///
    /// # Errors
    /// As there.
    pub fn line(&self, line: &str) -> Result<()> {
        self.run(&["send-keys", "-l", line])?;
        self.press("Enter")
    }

    /// Presses a key, by tmux's name for it.
    ///
    /// # Errors
    /// As there.
    pub fn press(&self, key: &str) -> Result<()> {
        self.run(&["send-keys", key]).map(drop)
    }

    /// Gives the terminal another size.
    ///
    /// # Errors
    /// As there.
    pub fn resize(&self, (width, height): (u16, u16)) -> Result<()> {
        let size = [width.to_string(), height.to_string()];
        self.run(&["resize-window", "-x", &size[0], "-y", &size[1]]).map(drop)
    }

    /// Waits until the screen is as wanted, and returns it.
    ///
    /// # Panics
    /// It never is; with the screen that there was.
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
        // What runs in it is hung up on. Already dead is fine.
        let _ = self.run(&["kill-server"]);
        let _ = server.kill();
        let _ = server.wait();
    }
}
