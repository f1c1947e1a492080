//! Builds the XDP programs for the BPF target; `src/bpf` embeds them.

use anyhow::{Context as _, anyhow};
use aya_build::{Package, Toolchain};

#[path = "../xtask/src/toolchain.rs"]
mod toolchain;

fn main() -> anyhow::Result<()> {
    println!("cargo::rerun-if-changed=../xtask/src/toolchain.rs");
    println!("cargo::rerun-if-env-changed={}", toolchain::OVERRIDE);
    let name = toolchain::find()
        .ok_or_else(|| anyhow!("no toolchain here can build for the BPF target; run `cargo xtask setup`"))?;
    let root_dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../ntpguard-ebpf");
    let package = Package { name: "ntpguard-ebpf", root_dir, ..Default::default() };
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
    nested.into_iter().for_each(|(name, value)| unsafe { std::env::set_var(name, value) });
    aya_build::build_ebpf([package], Toolchain::Custom(&name))
        .context("building the XDP program failed; `cargo xtask setup --check` tells what is missing")
}
