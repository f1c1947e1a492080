//! `cargo xtask bench`: sets up, builds for release, and becomes the measuring program.

use crate::{
    run::{cargo, run},
    setup::{self, Purpose},
};
use anyhow::{Result, bail};
use std::os::unix::process::CommandExt as _;

pub(crate) fn bench(options: &[String]) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("measuring takes network namespaces and BPF programs: run it as root");
    }
    setup::ensure(Purpose::Lab)?;
    // What can't be had here is said in the tables, and the rest is measured.
    if let Err(error) = setup::ensure(Purpose::Bench) {
        eprintln!("xtask: {error:#}; going on without");
    }
    let packages = ["--release", "--quiet", "--package", "ntpguard", "--package", "ntpguard-tests"];
    let programs = ["--bin", "ntpguard", "--bin", "bench"];
    run(&mut cargo(&[&["build"][..], &packages, &programs].concat()))?;
    // In this process's place, so that a Ctrl-C meets it and nobody else.
    let mut bench =
        cargo(&["run", "--release", "--quiet", "--package", "ntpguard-tests", "--bin", "bench", "--"]);
    Err(bench.args(options).exec().into())
}
