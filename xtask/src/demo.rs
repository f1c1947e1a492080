//! `cargo xtask demo`: sets up, builds, and replaces itself with the demo.

use crate::{
    run::{cargo, run},
    setup::{self, Purpose},
};
use anyhow::{Result, bail};
use std::os::unix::process::CommandExt as _;

pub(crate) fn demo() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the demo makes network namespaces and loads a BPF program: run it as root");
    }
    setup::ensure(Purpose::Lab)?;
    run(&mut cargo(&["build", "--quiet", "--package", "ntpguard", "--package", "ntpguard-tests"]))?;
    // Replaces this process, so that Ctrl-C reaches the demo alone.
    let error = cargo(&["run", "--quiet", "--package", "ntpguard-tests", "--bin", "demo"]).exec();
    Err(error.into())
}
