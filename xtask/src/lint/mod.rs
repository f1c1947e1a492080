//! `cargo xtask lint`: all that can be said of the sources without running them.
//!
//! Format; how they are divided into files and rooms; dependencies and their licences; clippy and rustdoc with warnings denied; the
//! oldest compiler. Clippy reads the programs for the BPF target, too.

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
    // Commands of the book that no test types, and why.
    crate::book::checked()?.iter().for_each(|shown| println!("not run: {shown}"));
    run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))?;
    rooms::rooms(false)?;
    packages::packages()?;
    let mut deny = Command::new(setup::cargo_deny());
    run(deny.args(["--log-level", "error", "check", "licenses", "bans", "sources"]).current_dir(root()))?;
    let doc = ["doc", "--workspace", "--no-deps", "--document-private-items"];
    // Who reads these pages reads them with private items, so links may lead there.
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
    // What aya-build sets for the real build.
    bpf.env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH));
    // cargo set these for xtask itself; they would bring its own toolchain along.
    bpf.env_remove("RUSTC").env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
    run(bpf.current_dir(root()))
}
