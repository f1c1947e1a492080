//! Debian packages: installed, or unpacked below `target/lab` without being installed.

use crate::run::{output, run};
use anyhow::{Context as _, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Whether this system's package sources have the package.
pub(crate) fn available(package: &str) -> bool {
    update().is_ok() && output(Command::new("apt-cache").args(["show", package])).is_ok()
}

/// The packages that aren't installed.
pub(crate) fn absent(packages: &[&'static str]) -> Vec<&'static str> {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${Package} ${db:Status-Status}\n"]).args(packages);
    // It fails if it doesn't know one of the packages, but still lists the others.
    let listed = query.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let listed = listed.unwrap_or_default();
    let installed = |package: &str| listed.lines().any(|line| line == format!("{package} installed"));
    packages.iter().copied().filter(|package| !installed(package)).collect()
}

/// Installs packages.
pub(crate) fn apt(packages: &[&str]) -> Result<()> {
    println!("    apt-get install {}", packages.join(" "));
    update()?;
    let options = ["install", "--yes", "--quiet", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"];
    run(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(options).args(packages))
}

/// Updates the package lists, once in each run.
pub(crate) fn update() -> Result<()> {
    static DONE: std::sync::OnceLock<()> = std::sync::OnceLock::new();
    if DONE.get().is_none() {
        run(Command::new("apt-get").args(["update", "--quiet", "--quiet"]))?;
        DONE.get_or_init(|| ());
    }
    Ok(())
}

/// Unpacks a Debian package without installing it.
pub(crate) fn unpack(package: &str, folder: &Path) -> Result<()> {
    update()?;
    unpack_with(package, folder, &[])
}

/// Like [`unpack`], with options of apt-get that select the package source.
pub(crate) fn unpack_with(package: &str, folder: &Path, options: &[String]) -> Result<()> {
    let parent = folder.parent().context("target/lab")?;
    fs::create_dir_all(parent)?;
    println!("    apt-get download {package}");
    let mut download = Command::new("apt-get");
    // Without dropping privileges: apt's own user can't write here.
    run(download
        .args(["download", "--quiet", "-o", "APT::Sandbox::User=root", package])
        .args(options)
        .current_dir(parent))?;
    let archive = find(parent, |name| name.starts_with(&format!("{package}_")) && name.ends_with(".deb"))
        .with_context(|| format!("{package} was downloaded and isn't there"))?;
    run(Command::new("dpkg-deb").arg("--extract").arg(&archive).arg(folder))?;
    fs::remove_file(archive)?;
    Ok(())
}

/// The first file in a folder whose name matches.
pub(crate) fn find(folder: &Path, fits: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let files = fs::read_dir(folder).ok()?.filter_map(Result::ok);
    files
        .map(|file| file.path())
        .find(|path| path.file_name().is_some_and(|name| fits(&name.to_string_lossy())))
}
