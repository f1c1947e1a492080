//! `cargo xtask lint`: all checks of the sources that don't run them.
//!
//! It checks the format, the division into files and rooms, dependencies and their licences, clippy and rustdoc with
//! warnings denied, and the oldest supported compiler. Clippy also checks the programs for the BPF target.

mod circles;
mod imports;
mod names;
mod packages;
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
    setup::ensure(Purpose::Lint)?;
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    // Commands of the book that no test runs, with the reason.
    crate::book::checked()?.iter().for_each(|shown| println!("not run: {shown}"));
    run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))?;
    rooms::rooms(false)?;
    packages::packages()?;
    let mut deny = Command::new(setup::cargo_deny());
    run(deny.args(["--log-level", "error", "check", "licenses", "bans", "sources"]).current_dir(root()))?;
    let doc = ["doc", "--workspace", "--no-deps", "--document-private-items"];
    // Private items are documented too, so links to them are valid.
    let warnings = "--deny warnings --allow rustdoc::private_intra_doc_links";
    run(cargo(&doc).env("RUSTDOCFLAGS", warnings))?;

    let name = toolchain::find().context("no toolchain for the BPF target")?;
    let mut bpf = Command::new("rustup");
    bpf.args([
        "run",
        &name,
        "cargo",
        "clippy",
        "--package",
        "ntpguard-ebpf",
        "--package",
        "ntpguard-tests-ebpf",
    ]);
    bpf.args(["--features", "programs", "--bins", "--release"]);
    bpf.args(["--target", "bpfel-unknown-none", "-Z", "build-std=core", "--target-dir", "target/bpf"]);
    bpf.args(["--", "--deny", "warnings"]);
    // The flags that aya-build sets for the real build.
    bpf.env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH));
    // cargo has set these for xtask itself; they would select xtask's toolchain instead.
    bpf.env_remove("RUSTC").env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
    run(bpf.current_dir(root()))
}
