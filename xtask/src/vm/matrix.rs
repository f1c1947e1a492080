//! `cargo xtask vm --nic …`: runs guests with different network cards and judges them from outside, by the tests' program
//! `matrix`.
//!
//! The kernels are Debian's generic ones, since its cloud kernels lack most cards' drivers.

use super::initramfs::{Initramfs, built, which};
use crate::{
    kernel::{Kind, Series},
    qemu,
    run::{lab, run},
    setup::{self, Purpose},
};
use anyhow::{Context as _, Result, bail};
use std::{
    fs,
    hash::{DefaultHasher, Hasher as _},
    path::{Path, PathBuf},
    process::Command,
};

/// Drivers of the cards, and of the devices on top of them.
const MODULES: &[&str] =
    &["virtio_pci", "virtio_net", "e1000e", "igb", "vmxnet3", "8021q", "bonding", "bridge"];
/// Programs with which the guest is controlled, in addition to busybox.
const TOOLS: &[&str] = &["ip", "ethtool", "bpftool"];

/// Runs all cards on all kernels, `jobs` guests at a time; with `write`, the table is put into that document.
pub(crate) fn matrix(kernels: &[Series], cards: &[String], jobs: usize, write: Option<&Path>) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the guests' cards end in a network namespace: run it as root");
    }
    setup::ensure(Purpose::Matrix)?;
    if cards.iter().flat_map(|words| words.split(',')).any(|card| matches!(card, "igb" | "all")) {
        qemu::ensure();
    }
    let mut build = vec!["build", "--package", "ntpguard", "--bin", "ntpguard"];
    // Published figures are those of the release build, which users run.
    build.extend(write.map(|_| "--release"));
    let ntpguard = built(&build, "ntpguard")?;
    let program = built(&["build", "--package", "ntpguard-tests", "--bin", "matrix"], "matrix")?;
    let mut command = Command::new(&program);
    command.arg("run").arg("--jobs").arg(jobs.to_string()).arg("--consoles").arg(lab().join("consoles"));
    for series in kernels {
        let archive = userland(*series, &ntpguard, &program)?;
        let image = series.image(Kind::Generic).context("the kernel isn't unpacked")?;
        let [image, archive] = [&image, &archive].map(|path| path.display());
        command.arg("--kernel").arg(format!("{}={image}={archive}", series.name()));
    }
    for card in cards {
        command.args(["--nic", card]);
    }
    let emulator = qemu::find()?;
    command.arg("--qemu").arg(&emulator.program);
    for folder in &emulator.firmware {
        command.arg("--firmware").arg(folder);
    }
    if let Some(path) = write {
        let mut hasher = DefaultHasher::new();
        hasher.write(&fs::read(&ntpguard)?);
        command.arg("--build").arg(format!("{:016x}", hasher.finish()));
        command.arg("--write").arg(path);
    }
    run(&mut command)
}

fn userland(series: Series, ntpguard: &Path, program: &Path) -> Result<PathBuf> {
    let initramfs = Initramfs::new(&lab().join(format!("matrix-{}", series.name())))?;
    for tool in TOOLS {
        initramfs.program(tool, &which(tool)?)?;
    }
    initramfs.program("ntpguard", ntpguard)?;
    initramfs.program("matrix", program)?;
    let base = series.modules(Kind::Generic)?;
    for module in MODULES {
        // A list of the module files in loading order, for the guest.
        let files = initramfs.module(&base, module)?;
        initramfs.file(&format!("modules/{module}.list"), &files.join("\n"))?;
    }
    initramfs.file("init", INIT)?;
    initramfs.pack()
}

/// The guest's init script: it loads the modules named on the kernel's command line, and takes orders.
const INIT: &str = r#"#!/bin/sh
export PATH=/bin:/applets
/bin/busybox mkdir /applets
/bin/busybox --install -s /applets
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mount -t bpf bpf /sys/fs/bpf
mount -t tracefs tracefs /sys/kernel/tracing
/bin/ip link set lo up
for word in $(cat /proc/cmdline); do
    case $word in
    modules=*) names=$(echo "${word#modules=}" | tr , ' ') ;;
    esac
done
for name in $names; do
    # A module that several need is there already.
    while read -r file || [ -n "$file" ]; do insmod "/modules/$file" 2>/dev/null; done <"/modules/$name.list"
done
stty raw -echo </dev/ttyS1
matrix agent </dev/ttyS1 >/dev/ttyS1
poweroff -f
"#;
