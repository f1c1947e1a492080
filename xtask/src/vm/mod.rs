//! `cargo xtask vm`: runs the same tests on another kernel under QEMU, in an initramfs made from this build.
//!
//! The kernel is Debian's; the userland is busybox, iproute2 and the test programs with the libraries that they link.
//! Nothing is installed, and only the serial console is shared with this machine.

mod initramfs;
pub(crate) mod matrix;

use self::initramfs::{Initramfs, built, which};
use crate::{
    kernel::{Kind, Series},
    run::{lab, output, root},
    setup::{self, Purpose},
};
use anyhow::{Context as _, Result, bail};
use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

/// The test programs, each with the words by which its tests that need no daemon are selected.
const TESTS: &[(&str, &str)] = &[
    ("golden", ""),
    ("ranges", ""),
    ("command", "every_mode_drops_and_counts"),
    ("tc", "golden tcx_or_a_word"),
    ("budgets", "no_verifier_walks_far"),
    ("associations", "whom another_namespace"),
];
/// The prefix of the guest's last line, which ends with the exit code of its tests.
const DONE: &str = "ntpguard-vm-exit:";
/// Time limit in seconds for a guest, after which a hang is cut off: emulated on a busy machine, the boot and the tests
/// take minutes.
const LIMIT: &str = "2400";

pub(crate) fn vm(series: Series) -> Result<()> {
    setup::ensure(Purpose::Test)?;
    let archive = userland(series)?;
    println!("\nLinux {} under qemu:", series.name());
    let image = series.image(Kind::Cloud).context("the kernel isn't unpacked")?;
    let mut qemu = Command::new("timeout");
    qemu.args([LIMIT, "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "1024", "-no-reboot"]);
    qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio"]);
    qemu.arg("-kernel").arg(image).arg("-initrd").arg(&archive);
    qemu.args(["-append", "console=ttyS0 quiet loglevel=3 panic=-1"]).stdin(Stdio::null());
    let said = output(&mut qemu)?;
    let said = said.replace('\r', "");
    println!("{said}");
    match said.lines().find_map(|line| line.strip_prefix(DONE)) {
        Some("0") => Ok(()),
        Some(code) => bail!("the tests failed on Linux {}: exit code {code}", series.name()),
        None => bail!("the guest with Linux {} ended before its tests did", series.name()),
    }
}

fn userland(series: Series) -> Result<PathBuf> {
    let initramfs = Initramfs::new(&lab().join(format!("vm-{}", series.name())))?;
    for tool in ["ip", "mount", "find"] {
        initramfs.program(tool, &which(tool)?)?;
    }
    for (name, _) in TESTS {
        let build = ["test", "--no-run", "--package", "ntpguard-tests", "--test", name];
        initramfs.program(name, &built(&build, name)?)?;
    }
    let build = ["build", "--package", "ntpguard", "--bin", "ntpguard"];
    initramfs.program("ntpguard", &built(&build, "ntpguard")?)?;
    initramfs.tree(&root().join("tests/fixtures"), "fixtures")?;
    let modules = initramfs.module(&series.modules(Kind::Cloud)?, "veth")?;
    initramfs.file("init", &script(&modules))?;
    initramfs.pack()
}

/// The guest's init script.
fn script(modules: &[String]) -> String {
    let insmod: String = modules.iter().map(|module| format!("busybox insmod /modules/{module}\n")).collect();
    let tests: String = TESTS
        .iter()
        .map(|(name, filter)| {
            format!("/bin/{name} --nocapture --test-threads 1 {filter} </dev/null || code=1\n")
        })
        .collect();
    format!(
        "#!/bin/sh\n\
         export PATH=/bin NTPGUARD_FIXTURES=/fixtures RUST_BACKTRACE=0\n\
         busybox mount -t proc proc /proc\n\
         busybox mount -t sysfs sys /sys\n\
         busybox mount -t devtmpfs dev /dev\n\
         busybox mount -t tmpfs tmp /tmp\n\
         {insmod}\
         busybox uname -r\n\
         code=0\n\
         {tests}\
         echo {DONE}$code\n\
         busybox poweroff -f\n"
    )
}
