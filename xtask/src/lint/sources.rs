//! The workspace's Rust sources as text: which files a package has, and which are the roots of its crates.

use crate::run::{cargo, output, root};
use anyhow::{Context as _, Result};
use std::{collections::BTreeMap, fs, path::Path};

/// A package's sources. Paths are relative to the workspace.
pub(crate) struct Package {
    /// The package's name in its manifest.
    pub(crate) name: String,
    /// The roots of its crates: `lib.rs` first if there is one, then the binaries.
    pub(crate) roots: Vec<String>,
    /// Whether the first root is a library, which the other roots import by the package's name.
    pub(crate) library: bool,
    /// The text of every file, by path.
    pub(crate) files: BTreeMap<String, String>,
    /// The packages that it depends on, by their names in code.
    pub(crate) dependencies: Vec<String>,
    /// The oldest compiler with which it promises to build.
    pub(crate) rust_version: String,
}

impl Package {
    /// All packages of the workspace.
    pub(crate) fn all() -> Result<Vec<Self>> {
        let metadata = output(&mut cargo(&["metadata", "--no-deps", "--format-version", "1"]))?;
        let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
        let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
        packages.iter().map(Self::read).collect()
    }

    fn read(package: &serde_json::Value) -> Result<Self> {
        let name = package["name"].as_str().context("a package without a name")?.to_owned();
        let (mut libraries, mut binaries) = (Vec::new(), Vec::new());
        for target in package["targets"].as_array().context("a package without targets")? {
            let path = relative(Path::new(target["src_path"].as_str().context("a target without a file")?))?;
            match target["kind"][0].as_str() {
                Some("lib") => libraries.push(path),
                Some("bin") => binaries.push(path),
                _ => {}
            }
        }
        let library = !libraries.is_empty();
        let folder = Path::new(package["manifest_path"].as_str().context("a package without a manifest")?);
        let folder = folder.parent().context("a manifest without a folder")?;
        let mut files = BTreeMap::new();
        for part in ["src", "tests", "benches", "examples"] {
            collect(&folder.join(part), &mut files)?;
        }
        let build = folder.join("build.rs");
        if build.exists() {
            let text = fs::read_to_string(&build)?;
            // Files that several build scripts include count as part of each package.
            for shared in
                text.lines().filter_map(|line| line.strip_prefix("#[path = \"")?.strip_suffix("\"]"))
            {
                let shared = folder.join(shared);
                files.insert(relative(&shared)?, fs::read_to_string(&shared)?);
            }
            files.insert(relative(&build)?, text);
        }
        let dependencies = package["dependencies"].as_array().context("a package without dependencies")?;
        let named = |dependency: &serde_json::Value| {
            let name = dependency["rename"].as_str().or(dependency["name"].as_str())?;
            Some(name.replace('-', "_"))
        };
        let dependencies = dependencies.iter().filter_map(named).collect();
        let rust_version = package["rust_version"].as_str().unwrap_or("none").to_owned();
        Ok(Self { name, roots: [libraries, binaries].concat(), library, files, dependencies, rust_version })
    }
}

/// Reads the Rust files in a folder and its subfolders.
fn collect(folder: &Path, files: &mut BTreeMap<String, String>) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            files.insert(relative(&path)?, text);
        }
    }
    Ok(())
}

fn relative(path: &Path) -> Result<String> {
    let path = path.strip_prefix(root()).with_context(|| path.display().to_string())?;
    Ok(path.to_string_lossy().into_owned())
}
