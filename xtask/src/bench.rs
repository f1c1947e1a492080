//! `cargo xtask bench`: sets up, builds for release, and replaces itself with the measuring program.

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
    // What can't be installed here is noted in the tables, and everything else is measured.
    if let Err(error) = setup::ensure(Purpose::Bench) {
        eprintln!("xtask: {error:#}; going on without");
    }
    let packages = ["--release", "--quiet", "--package", "ntpguard", "--package", "ntpguard-tests"];
    let programs = ["--bin", "ntpguard", "--bin", "bench"];
    run(&mut cargo(&[&["build"][..], &packages, &programs].concat()))?;
    // Replaces this process, so that Ctrl-C reaches the measuring program alone.
    let mut bench =
        cargo(&["run", "--release", "--quiet", "--package", "ntpguard-tests", "--bin", "bench", "--"]);
    Err(bench.args(options).exec().into())
}
