//! How a package of BPF programs becomes objects to be embedded. Part of the build scripts of those who load them: ntpguard's, and
//! that of its tests.

use anyhow::{Context as _, Result, anyhow};
use aya_build::{Package, Toolchain};
use std::env;

#[path = "../xtask/src/toolchain.rs"]
mod toolchain;

/// Builds all programs of a package into OUT_DIR, each under its own name.
///
/// # Errors
/// A toolchain or a tool is missing, or the programs don't compile.
pub(crate) fn build(package: &str, folder: &str) -> Result<()> {
    for shared in ["../xtask/src/toolchain.rs", "objects.rs", "src/runtime.rs"] {
        println!(
            "cargo::rerun-if-changed={}/{shared}",
            concat!(env!("CARGO_MANIFEST_DIR"), "/../ntpguard-ebpf")
        );
    }
    println!("cargo::rerun-if-env-changed={}", toolchain::OVERRIDE);
    let name = toolchain::find()
        .ok_or_else(|| anyhow!("no toolchain here can build for the BPF target; run `cargo xtask setup`"))?;
    // Debian's rustc is a stable one: RUSTC_BOOTSTRAP lets the nested cargo, and no other, use `-Z build-std` and a profile's
    // flags. What it reports of its progress would come out as warnings: CARGO_TERM_QUIET leaves the real ones. Version 2 of
    // the instruction set (Linux 4.14) compares both ways round: of 148 instructions for a monlist it saves 16. RUSTFLAGS are
    // aya-build's, so the profile says it, and not for build scripts, which run here.
    let nested = [
        ("RUSTC_BOOTSTRAP", "1"),
        ("CARGO_TERM_QUIET", "true"),
        ("CARGO_UNSTABLE_PROFILE_RUSTFLAGS", "true"),
        ("CARGO_PROFILE_RELEASE_RUSTFLAGS", "-Ctarget-cpu=v2"),
        ("CARGO_PROFILE_RELEASE_BUILD_OVERRIDE_RUSTFLAGS", ""),
    ];
    // SAFETY: no other thread runs yet.
    nested.into_iter().for_each(|(name, value)| unsafe { env::set_var(name, value) });
    let package = Package { name: package, root_dir: folder, features: &["programs"], ..Default::default() };
    aya_build::build_ebpf([package], Toolchain::Custom(&name))
        .context("building the BPF programs failed; `cargo xtask setup --check` tells what is missing")
}
