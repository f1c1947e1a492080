//! A guest's root file system: busybox, programs with the libraries that they link, kernel modules, and the init script.

use crate::run::{cargo, output, run};
use anyhow::{Context as _, Result};
use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

/// A folder that becomes an initramfs archive.
pub(super) struct Initramfs {
    folder: PathBuf,
}

impl Initramfs {
    /// Starts with an empty folder, whatever was there before.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        for name in ["bin", "dev", "proc", "sys", "tmp", "etc", "run", "var/lib", "modules"] {
            fs::create_dir_all(folder.join(name))?;
        }
        fs::copy(which("busybox")?, folder.join("bin/busybox"))?;
        symlink("busybox", folder.join("bin/sh"))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Adds a program of this machine or of this build, with its shared libraries.
    pub(super) fn program(&self, name: &str, path: &Path) -> Result<()> {
        // Debugging information is most of a program's size, and loading it would take an emulated guest long.
        run(Command::new("strip").arg("-o").arg(self.folder.join("bin").join(name)).arg(path))?;
        for library in libraries(path)? {
            let place = self.folder.join(library.strip_prefix("/")?);
            fs::create_dir_all(place.parent().context("a library in /")?)?;
            fs::copy(&library, place)?;
        }
        Ok(())
    }

    /// Adds a folder with its contents.
    pub(super) fn tree(&self, from: &Path, name: &str) -> Result<()> {
        run(Command::new("cp").arg("-r").arg(from).arg(self.folder.join(name)))
    }

    /// Adds a kernel module and those that it needs, decompressed; returns their file names in loading order.
    pub(super) fn module(&self, base: &Path, name: &str) -> Result<Vec<String>> {
        let mut order = Vec::new();
        collect(base, name, &mut order)?;
        order.iter().map(|path| place(path, &self.folder.join("modules"))).collect()
    }

    /// Adds a text file, which is executable if it is a script.
    pub(super) fn file(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, text)?;
        let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
        Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
    }

    /// Packs the folder into an archive in the kernel's format (cpio, newc), beside the folder.
    pub(super) fn pack(&self) -> Result<PathBuf> {
        let archive = self.folder.with_added_extension("cpio");
        let script = "find . | cpio --quiet --create --format=newc";
        let file = File::create(&archive)?;
        run(Command::new("sh").args(["-c", script]).current_dir(&self.folder).stdout(file))?;
        Ok(archive)
    }
}

/// Appends a module after those that it needs.
fn collect(base: &Path, name: &str, order: &mut Vec<PathBuf>) -> Result<()> {
    // File names have either of the two characters.
    let pattern = name.replace(['-', '_'], "[-_]");
    let found = output(Command::new("find").arg(base).args(["-name", &format!("{pattern}.ko*")]))?;
    // The module is built into the kernel, or this series doesn't have it.
    let Some(path) = found.lines().next().map(PathBuf::from) else { return Ok(()) };
    let needs = output(Command::new("/sbin/modinfo").args(["-F", "depends"]).arg(&path))?;
    for need in needs.trim().split(',').filter(|need| !need.is_empty()) {
        collect(base, need, order)?;
    }
    if !order.contains(&path) {
        order.push(path);
    }
    Ok(())
}

fn place(module: &Path, folder: &Path) -> Result<String> {
    let name = module.file_name().context("a module's name")?.to_string_lossy().into_owned();
    let plain = name.trim_end_matches(".xz").to_owned();
    if plain == name {
        fs::copy(module, folder.join(&plain))?;
    } else {
        let unpacked = File::create(folder.join(&plain))?;
        run(Command::new("xz").args(["--decompress", "--stdout"]).arg(module).stdout(unpacked))?;
    }
    Ok(plain)
}

/// The program of this name that a cargo command builds.
pub(super) fn built(arguments: &[&str], name: &str) -> Result<PathBuf> {
    let messages = output(cargo(arguments).arg("--message-format=json"))?;
    let mut programs = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let path = message["executable"].as_str().map(PathBuf::from);
        path.filter(|_| message["target"]["name"] == name)
    });
    programs.next().with_context(|| format!("cargo {} builds no {name}", arguments.join(" ")))
}

/// The shared libraries of a program, including the loader.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let listed = output(Command::new("ldd").arg(program))?;
    let paths = listed.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(paths.map(PathBuf::from).collect())
}

/// The path of a program that is installed on this machine.
pub(super) fn which(program: &str) -> Result<PathBuf> {
    let folders = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"].map(|folder| Path::new(folder).join(program));
    folders.into_iter().find(|path| path.exists()).with_context(|| format!("there is no {program}"))
}
