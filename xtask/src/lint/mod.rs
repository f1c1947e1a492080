//! `cargo xtask lint`: format, and clippy with warnings denied, for the host and for the BPF target.

mod circles;
mod imports;
mod names;
pub(crate) mod rooms;
mod sources;
#[cfg(test)]
mod tests;

use crate::{
    run::{cargo, root, run},
    setup::{self, Purpose},
    toolchain,
};
use anyhow::{Context as _, Result};
use std::process::Command;

pub(crate) fn lint() -> Result<()> {
    setup::ensure(Purpose::Build)?;
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    let host =
        ["clippy", "--workspace", "--exclude", "ntpguard-ebpf", "--all-targets", "--", "--deny", "warnings"];
    run(&mut cargo(&host))?;
    // Not yet: `rooms::rooms(false)?;`

    let name = toolchain::find().context("no toolchain for the BPF target")?;
    let mut bpf = Command::new("rustup");
    bpf.args(["run", &name, "cargo", "clippy", "--package", "ntpguard-ebpf", "--bins", "--release"]);
    bpf.args(["--target", "bpfel-unknown-none", "-Z", "build-std=core", "--target-dir", "target/bpf"]);
    bpf.args(["--", "--deny", "warnings"]);
    // What aya-build sets for the real build.
    bpf.env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH));
    // cargo set these for xtask itself; they would bring its own toolchain along.
    bpf.env_remove("RUSTC").env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
    run(bpf.current_dir(root()))
}
