//! Tells the linker, which generates the machine code, which instructions it may use on every kernel that the filter
//! supports. The version of the instruction set is set where the build is started (`objects.rs`). The package of
//! programs that only measure has this build script, too.

use std::env;

/// Machines with unaligned loads in one instruction (CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS). On these the verifier
/// permits them, and a header's fields needn't be assembled from single bytes.
const UNALIGNED: [&str; 4] = ["aarch64", "powerpc64", "s390x", "x86_64"];

fn main() {
    println!("cargo::rerun-if-env-changed=CARGO_CFG_BPF_TARGET_ARCH");
    // aya-build sets this to the machine that the programs are for.
    let machine = env::var("CARGO_CFG_BPF_TARGET_ARCH");
    if machine.is_ok_and(|machine| UNALIGNED.contains(&machine.as_str())) {
        println!("cargo::rustc-link-arg-bins=--cpu-features=+allows-misaligned-mem-access");
    }
}
