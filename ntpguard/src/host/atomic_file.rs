//! Files that are written whole: whoever reads meanwhile sees the one before.

use crate::host::access::Readers;
use anyhow::{Context as _, Result};
use serde::Serialize;
use std::{
    fs,
    io::{BufWriter, Write as _},
    path::Path,
};

/// Whether a folder can be written, or made.
///
/// # Errors
/// It can't.
pub fn probe(folder: &Path) -> Result<()> {
    let probe = || -> Result<()> {
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        // Where there is no room, a file can be made all the same.
        Ok(file.write_all(&[0; 4096])?)
    };
    probe().with_context(|| format!("can't write into {}", folder.display()))
}

/// Writes a value in place of what is there, for its owner and these readers.
///
/// # Errors
/// The folder can't be made or written.
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
