//! QEMU: this system's, or a newer one that set-up has unpacked, which emulates more network cards.

use crate::{
    debian::unpack_with,
    run::{lab, output},
};
use anyhow::{Context as _, Result};
use std::{fs, path::PathBuf, process::Command};

/// The packages of the newer QEMU; its other dependencies are in Debian 12.
const PACKAGES: &[&str] = &["qemu-system-data", "seabios", "qemu-system-x86"];
/// The source of these packages, used beside this system's own sources.
const BACKPORTS: &str = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] \
                         http://deb.debian.org/debian bookworm-backports main\n";

/// An emulator, and the folders of its firmware if it isn't installed where it expects to be.
pub(crate) struct Qemu {
    pub(crate) program: PathBuf,
    pub(crate) firmware: Vec<PathBuf>,
}

/// The folder into which the newer one is unpacked.
fn folder() -> PathBuf {
    lab().join("qemu")
}

/// The newest QEMU that is present.
pub(crate) fn find() -> Result<Qemu> {
    let unpacked = folder().join("usr/bin/qemu-system-x86_64");
    if unpacked.exists() {
        let firmware = ["usr/share/qemu", "usr/share/seabios"].map(|name| folder().join(name));
        return Ok(Qemu { program: unpacked, firmware: firmware.to_vec() });
    }
    Ok(Qemu { program: "qemu-system-x86_64".into(), firmware: Vec::new() })
}

/// Whether that QEMU emulates Intel's igb, which QEMU 8 added.
fn has_igb() -> bool {
    find().is_ok_and(|qemu| {
        // The exit code is 0 in both cases.
        output(Command::new(qemu.program).args(["-device", "igb,help"]))
            .is_ok_and(|list| list.contains("igb options:"))
    })
}

/// Installs a QEMU with igb, if possible; without it, cards that need it are listed as not run.
pub(crate) fn ensure() {
    if has_igb() {
        return;
    }
    println!(
        "==> a QEMU that has igb (8 or newer): qemu-system-x86 of bookworm-backports, unpacked under target/lab"
    );
    if let Err(error) = backport() {
        println!("    not to be had: {error:#}\n    Install qemu-system-x86 8 or newer to have igb run");
    }
}

/// Unpacks the newer QEMU from bookworm-backports. The package list goes into a separate folder, and the system's sources
/// aren't changed.
fn backport() -> Result<()> {
    let lists = lab().join("backports");
    for name in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(lists.join(name))?;
    }
    let source = lists.join("sources.list");
    fs::write(&source, BACKPORTS)?;
    let path = |name: &str| lists.join(name).display().to_string();
    let options = [
        format!("-oDir::Etc::sourcelist={}", source.display()),
        "-oDir::Etc::sourceparts=/dev/null".to_owned(),
        format!("-oDir::State::lists={}", path("lists")),
        format!("-oDir::Cache={}", path("cache")),
    ];
    let mut update = Command::new("apt-get");
    update.args(["update", "--quiet", "--quiet"]).args(&options);
    output(&mut update).context("bookworm-backports can't be had")?;
    PACKAGES.iter().try_for_each(|package| unpack_with(package, &folder(), &options))
}
