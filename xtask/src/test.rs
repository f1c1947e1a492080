//! `cargo xtask test`: everything, on this kernel and on others.

use crate::{
    kernel,
    run::{cargo, run},
    setup::{self, Purpose},
    vm,
};
use anyhow::{Result, bail};

pub(crate) fn test() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "the tests make network namespaces and load BPF programs, and none is skipped: run them as root"
        );
    }
    setup::ensure(Purpose::Test)?;
    run(&mut cargo(&[
        "test",
        "--package",
        "ntpguard-common",
        "--package",
        "ntpguard",
        "--package",
        "xtask",
    ]))?;
    // The lab runs the binary itself.
    run(&mut cargo(&["build", "--package", "ntpguard"]))?;
    // Figures are printed, not asserted: show what the tests say.
    // Each file to its end, so that one run tells all that is wrong.
    run(&mut cargo(&["test", "--no-fail-fast", "--package", "ntpguard-tests", "--", "--show-output"]))?;
    for series in kernel::ALL {
        vm::vm(series)?;
    }
    println!(
        "\nall tests passed, on this kernel and on {}",
        kernel::ALL.map(kernel::Series::name).join(" and ")
    );
    Ok(())
}
