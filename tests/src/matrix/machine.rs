//! A guest under QEMU, whose cards are connected to a namespace of this host, and which runs scripts that it gets over a
//! serial line.

use super::card::Card;
use crate::netns::Netns;
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

/// A kernel with its userland, and the QEMU that boots it.
#[derive(Clone, Debug)]
pub struct Boot {
    /// The name of the kernel's series.
    pub kernel: String,
    /// The kernel's image.
    pub image: PathBuf,
    /// The userland: a cpio archive.
    pub initramfs: PathBuf,
    /// The emulator.
    pub qemu: PathBuf,
    /// Folders in which the emulator looks for firmware in addition to its own.
    pub firmware: Vec<PathBuf>,
    /// The file to which the guest's console is written.
    pub console: PathBuf,
}

/// A running guest; killed when dropped, or when the thread that started it ends.
pub struct Machine {
    child: Child,
    requests: ChildStdin,
    outcomes: Receiver<Value>,
    console: PathBuf,
}

/// The outcome of a script in the guest.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its exit code; -1 if it was killed.
    pub code: i32,
    /// Its standard output and standard error.
    pub text: String,
}

impl Outcome {
    /// The output, if the script succeeded.
    ///
    /// # Errors
    /// The script failed.
    pub fn ok(self) -> Result<String> {
        match self.code {
            0 => Ok(self.text),
            code => bail!("exit code {code} in the guest: {}", self.text.trim()),
        }
    }
}

impl Machine {
    /// Whether this QEMU has the card's model.
    ///
    /// # Errors
    /// There is no QEMU, or it doesn't run. This is an error, since a card that isn't tested for this reason isn't one that
    /// QEMU lacks.
    pub fn has(boot: &Boot, card: Card) -> Result<bool> {
        let mut ask = qemu(boot, Command::new(&boot.qemu));
        let output = ask.arg("-device").arg(format!("{},help", card.model())).output()?;
        let [listed, said] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        // The exit code is 0 in both cases.
        if listed.contains(&format!("{} options:", card.model())) {
            Ok(true)
        } else if said.contains(&format!("Device '{}' not found", card.model())) {
            Ok(false)
        } else {
            bail!("{} doesn't run: {}", boot.qemu.display(), said.trim())
        }
    }

    /// Boots a guest with the cards of a kind, connected to the taps `tap0`, `tap1` and so on of `outside`.
    ///
    /// # Errors
    /// The guest doesn't boot within minutes; the error contains the end of its console.
    pub fn start(boot: &Boot, card: Card, outside: &Netns) -> Result<Self> {
        let mut command = qemu(boot, outside.command(&boot.qemu));
        // Emulated without KVM, which isn't available everywhere.
        command.args(["-accel", "tcg", "-cpu", "max", "-m", "768", "-machine", "q35", "-no-reboot"]);
        command.args(["-smp", &card.queues().to_string()]);
        command.args(["-nodefaults", "-no-user-config", "-display", "none"]);
        command.arg("-serial").arg(format!("file:{}", boot.console.display()));
        command.args(["-chardev", "stdio,id=line,signal=off", "-serial", "chardev:line"]);
        for number in 0..card.cards() {
            let queues = card.queues();
            command.arg("-netdev").arg(format!(
                "tap,id=net{number},ifname=tap{number},script=no,downscript=no,vhost=off,queues={queues}"
            ));
            // The first card's MAC address is the destination of the test frames.
            command.arg("-device").arg(format!(
                "{},netdev=net{number},mac=02:00:00:00:00:{:02x},romfile={}",
                card.model(),
                1 + 2 * number,
                card.properties()
            ));
        }
        command.arg("-kernel").arg(&boot.image).arg("-initrd").arg(&boot.initramfs);
        // On a busy machine emulated timers are late, and the kernel would consider them broken.
        command.arg("-append").arg(format!(
            "console=ttyS0 loglevel=4 panic=-1 no_timer_check net.ifnames=0 modules={}",
            card.modules().join(",")
        ));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("can't start QEMU")?;
        let requests = child.stdin.take().context("a pipe")?;
        let lines = BufReader::new(child.stdout.take().context("a pipe")?).lines();
        let (send, outcomes) = channel();
        thread::spawn(move || {
            // Lines that aren't JSON are noise from before the serial line was set up.
            for value in lines.map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok()) {
                if send.send(value).is_err() {
                    return;
                }
            }
        });
        let machine = Self { child, requests, outcomes, console: boot.console.clone() };
        // An emulated boot takes seconds, but on a machine busy with other work many minutes.
        let ready = machine.outcomes.recv_timeout(Duration::from_secs(1200));
        if !ready.is_ok_and(|ready| ready["ready"] == true) {
            bail!("the guest didn't come up; its console ends:\n{}", machine.console());
        }
        Ok(machine)
    }

    /// Runs shell lines in the guest, and waits for their end.
    ///
    /// # Errors
    /// The guest is gone.
    pub fn script(&mut self, script: &str) -> Result<Outcome> {
        // In a guest that is emulated on a busy machine, loading the program alone may take minutes.
        const SECONDS: u64 = 600;
        writeln!(self.requests, "{}", json!({ "script": script, "seconds": SECONDS }))?;
        self.requests.flush()?;
        let outcome = self.outcomes.recv_timeout(Duration::from_secs(SECONDS + 60));
        let outcome = outcome
            .map_err(|_| anyhow::anyhow!("the guest is gone; its console ends:\n{}", self.console()))?;
        let code = outcome["code"].as_i64().context("an outcome without a code")? as i32;
        Ok(Outcome { code, text: outcome["text"].as_str().unwrap_or_default().to_owned() })
    }

    /// Like [`Machine::script`], for a script that has to succeed.
    ///
    /// # Errors
    /// The script fails, or the guest is gone.
    pub fn run(&mut self, script: &str) -> Result<String> {
        self.script(&format!("set -e\n{script}"))?.ok().with_context(|| format!("`{}`", script.trim()))
    }

    /// The last lines of the console.
    pub fn console(&self) -> String {
        let text = std::fs::read(&self.console).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).replace('\r', "");
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Adds the folders of firmware to the emulator's command.
fn qemu(boot: &Boot, mut command: Command) -> Command {
    for folder in &boot.firmware {
        command.arg("-L").arg::<&Path>(folder);
    }
    command
}

/// The last line that isn't empty.
pub(super) fn line(text: &str) -> String {
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default().to_owned()
}
