//! Builds a package of BPF programs into objects to be embedded. Included by the build scripts of the packages that
//! load them: ntpguard and its tests.

use anyhow::{Context as _, Result, anyhow};
use aya_build::{Package, Toolchain};
use object::{
    build::elf::{Builder, SectionData},
    elf::{SHT_STRTAB, STT_FILE},
};
use std::{env, fs, path::Path};

#[path = "../xtask/src/toolchain.rs"]
mod toolchain;

/// Builds all programs of a package into OUT_DIR, each into a file of its own name.
///
/// # Errors
/// A toolchain or a tool is missing, or the programs don't compile.
pub(crate) fn build(package: &str, folder: &str, programs: &[&str]) -> Result<()> {
    for shared in ["../xtask/src/toolchain.rs", "objects.rs", "src/runtime.rs"] {
        println!(
            "cargo::rerun-if-changed={}/{shared}",
            concat!(env!("CARGO_MANIFEST_DIR"), "/../ntpguard-ebpf")
        );
    }
    println!("cargo::rerun-if-env-changed={}", toolchain::OVERRIDE);
    let name = toolchain::find()
        .ok_or_else(|| anyhow!("no toolchain here can build for the BPF target; run `cargo xtask setup`"))?;
    // Debian's rustc is a stable release: RUSTC_BOOTSTRAP lets the nested cargo, and no other, use `-Z build-std` and a
    // profile's rustflags. cargo's progress messages would appear as warnings; CARGO_TERM_QUIET suppresses them and
    // keeps the real warnings. Version 2 of the instruction set (Linux 4.14) has all comparisons in both directions: it
    // saves 16 of 148 instructions for a monlist packet. It is set through the profile because aya-build sets RUSTFLAGS
    // itself, and not for build scripts, which run on this host.
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
        .context("building the BPF programs failed; `cargo xtask setup --check` tells what is missing")?;
    let built = env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?;
    programs.iter().try_for_each(|program| strip(&Path::new(&built).join(program)))
}

/// Removes from an object what no loader reads: DWARF, from which BTF was made, and BTF's relocations, which have
/// already been applied. It is six sevenths of the object, and would be embedded.
fn strip(path: &Path) -> Result<()> {
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    let mut object = Builder::read(bytes.as_slice())?;
    for section in &mut object.sections {
        section.delete = [".debug_", ".rel.debug_", ".rel.BTF"]
            .iter()
            .any(|needless| section.name.as_slice().starts_with(needless.as_bytes()));
    }
    for symbol in &mut object.symbols {
        symbol.delete = symbol.st_type() == STT_FILE;
    }
    object.delete_orphans();
    // LLVM keeps the names of sections and of symbols in one section; here they are in two.
    let names = object.sections.add();
    (names.name, names.sh_type, names.data) = (".shstrtab".into(), SHT_STRTAB, SectionData::SectionString);
    names.sh_addralign = 1;
    let mut stripped = Vec::new();
    object.write(&mut stripped)?;
    fs::write(path, stripped).with_context(|| path.display().to_string())
}
