//! Debian's packages: installed, or unpacked below `target/lab` without being installed.

use crate::run::{output, run};
use anyhow::{Context as _, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Whether this system's packages have it.
pub(crate) fn available(package: &str) -> bool {
    update().is_ok() && output(Command::new("apt-cache").args(["show", package])).is_ok()
}

/// Those of the packages that aren't installed.
pub(crate) fn absent(packages: &[&'static str]) -> Vec<&'static str> {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${Package} ${db:Status-Status}\n"]).args(packages);
    // It fails when it knows one of them not at all, and lists the others all the same.
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

/// Fresh package lists, once a run.
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

/// As [`unpack`], with options of apt-get that say where from.
pub(crate) fn unpack_with(package: &str, folder: &Path, options: &[String]) -> Result<()> {
    let parent = folder.parent().context("target/lab")?;
    fs::create_dir_all(parent)?;
    println!("    apt-get download {package}");
    let mut download = Command::new("apt-get");
    // As root itself: apt's own user can't write here.
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

/// The first file in a folder whose name fits.
pub(crate) fn find(folder: &Path, fits: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let files = fs::read_dir(folder).ok()?.filter_map(Result::ok);
    files
        .map(|file| file.path())
        .find(|path| path.file_name().is_some_and(|name| fits(&name.to_string_lossy())))
}
