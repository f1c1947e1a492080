//! Files that are replaced as a whole: a concurrent reader sees the previous version.

use crate::host::access::Readers;
use anyhow::{Context as _, Result};
use serde::Serialize;
use std::{
    fs,
    io::{BufWriter, Write as _},
    path::Path,
};

/// Checks that a folder exists or can be created, and that files can be written there.
///
/// # Errors
/// It can't be created or written.
pub fn probe(folder: &Path) -> Result<()> {
    let probe = || -> Result<()> {
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        // On a full disk a file can still be created, so something is written.
        Ok(file.write_all(&[0; 4096])?)
    };
    probe().with_context(|| format!("can't write into {}", folder.display()))
}

/// Replaces a file with a value as JSON, readable to its owner and `readers`.
///
/// # Errors
/// The folder can't be created or written.
pub fn write(path: &Path, value: &impl Serialize, readers: &Readers) -> Result<()> {
    let write = || -> Result<()> {
        let folder = path.parent().context("it has no folder")?;
        fs::create_dir_all(folder)?;
        let mut new = BufWriter::new(tempfile::NamedTempFile::new_in(folder)?);
        serde_json::to_writer(&mut new, value)?;
        new.flush()?;
        let new = new.into_inner().map_err(|error| error.into_error())?;
        if readers.group.is_some() {
            readers.admit(new.path(), 0o600)?;
        }
        new.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("can't write {}", path.display()))
}
