//! Compares the packages' manifests with their sources: unused dependencies, and the oldest supported compiler.

use super::sources::Package;
use crate::run::{cargo, output, run};
use anyhow::{Context as _, Result, bail};
use proc_macro2::{TokenStream, TokenTree};
use std::{collections::BTreeSet, process::Command, str::FromStr as _};

/// Dependencies that no source names, with the reason why they are needed.
const UNNAMED: [(&str, &str, &str); 1] =
    [("ntpguard", "ntpguard_ebpf", "cargo builds the programs anew when their sources change")];

/// Checks all packages' manifests.
pub(crate) fn packages() -> Result<()> {
    let packages = Package::all()?;
    let mut unused = Vec::new();
    for package in &packages {
        unused.extend(unused_in(package)?);
    }
    if !unused.is_empty() {
        bail!("dependencies that nothing uses: {}", unused.join(", "));
    }
    let versions: BTreeSet<_> = packages.iter().map(|package| package.rust_version.as_str()).collect();
    let mut versions = versions.into_iter();
    match (versions.next(), versions.next()) {
        (Some(version), None) => builds_with(version),
        _ => bail!("the packages have different rust-versions: say `rust-version.workspace = true` in each"),
    }
}

/// A package's dependencies that none of its files names.
pub(crate) fn unused_in(package: &Package) -> Result<Vec<String>> {
    let mut named = BTreeSet::new();
    for (file, text) in &package.files {
        named.append(&mut names_in(file, text)?);
    }
    let excused = |name: &str| UNNAMED.iter().any(|(owner, one, _)| *owner == package.name && *one == name);
    let unused = package.dependencies.iter().filter(|name| !named.contains(*name) && !excused(name));
    Ok(unused.map(|name| format!("{name} of {}", package.name)).collect())
}

/// All identifiers in a file, including those in macros and in test code.
pub(super) fn names_in(file: &str, text: &str) -> Result<BTreeSet<String>> {
    let tokens = TokenStream::from_str(text).map_err(|error| anyhow::anyhow!("{file}: {error}"))?;
    let mut named = BTreeSet::new();
    identifiers(tokens, &mut named);
    Ok(named)
}

fn identifiers(tokens: TokenStream, named: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => _ = named.insert(ident.to_string()),
            TokenTree::Group(group) => identifiers(group.stream(), named),
            _ => {}
        }
    }
}

/// Checks the code with the oldest compiler that the manifests promise. If this is the compiler in use, clippy has already
/// done so.
fn builds_with(oldest: &str) -> Result<()> {
    let current = output(cargo(&["--version"]).env_remove("RUSTUP_TOOLCHAIN"))?;
    let current = current.split_whitespace().nth(1).context("cargo doesn't report its version")?;
    if current == oldest || current.strip_prefix(oldest).is_some_and(|patch| patch.starts_with('.')) {
        return Ok(());
    }
    let mut check = Command::new("rustup");
    check.args(["run", "--install", oldest, "cargo", "check", "--workspace"]);
    check.env_remove("RUSTC").env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
    run(check.current_dir(crate::run::root()))
}
