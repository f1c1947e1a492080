//! Tells the linker, which makes the machine code, what every kernel can run that the filter is for; the version of the
//! instruction set is told where the build is begun (`objects.rs`). The package of programs that only measure has this build
//! script, too.

use std::env;

/// Where an unaligned load is one instruction (CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS): there the verifier takes it, and a
/// header's fields needn't be put together from bytes.
const UNALIGNED: [&str; 4] = ["aarch64", "powerpc64", "s390x", "x86_64"];

fn main() {
    println!("cargo::rerun-if-env-changed=CARGO_CFG_BPF_TARGET_ARCH");
    // aya-build names the machine that the programs are for.
    let machine = env::var("CARGO_CFG_BPF_TARGET_ARCH");
    if machine.is_ok_and(|machine| UNALIGNED.contains(&machine.as_str())) {
        println!("cargo::rustc-link-arg-bins=--cpu-features=+allows-misaligned-mem-access");
    }
}
