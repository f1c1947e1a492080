//! Which Rust toolchain builds the BPF object. Used by `xtask setup` and by ntpguard's build script.

use std::{path::Path, process::Command};

/// Environment variable that names the toolchain to use, whatever else is installed.
pub(crate) const OVERRIDE: &str = "NTPGUARD_BPF_TOOLCHAIN";

/// The name under which `xtask setup` links Debian's rustc-web.
pub(crate) const DEBIAN: &str = "bpf";

/// The first toolchain that can build core for a target without a standard library: the one named by [`OVERRIDE`], then
/// Debian's, which set-up links only if nightly can't be used, then nightly.
pub(crate) fn find() -> Option<String> {
    let named = std::env::var(OVERRIDE).ok();
    let candidates = [named.as_deref(), Some(DEBIAN), Some("nightly")];
    candidates.into_iter().flatten().find(|name| has_sources(name)).map(str::to_owned)
}

/// Whether the toolchain is installed together with the library's sources (rust-src).
pub(crate) fn has_sources(name: &str) -> bool {
    let output = Command::new("rustup").args(["run", name, "rustc", "--print", "sysroot"]).output();
    output.is_ok_and(|output| {
        let sysroot = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success()
            && Path::new(&sysroot).join("lib/rustlib/src/rust/library/Cargo.lock").exists()
    })
}
