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
    // Debian's rustc is a stable one: RUSTC_BOOTSTRAP lets the nested cargo, and no other, use `-Z build-std`. What
    // it reports of its progress would come out as warnings: CARGO_TERM_QUIET leaves the real ones.
    // SAFETY: no other thread runs yet.
    unsafe {
        std::env::set_var("RUSTC_BOOTSTRAP", "1");
        std::env::set_var("CARGO_TERM_QUIET", "true");
    }
    aya_build::build_ebpf([package], Toolchain::Custom(&name))
        .context("building the XDP program failed; `cargo xtask setup --check` tells what is missing")
}
