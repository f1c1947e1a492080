//! An XDP program that doesn't belong to ntpguard.

use crate::{
    bpf::DROP,
    netns::{INTERFACE, Lab},
};
use anyhow::{Context as _, Result};
use std::fs;

/// Attaches an XDP program called `stranger` to the server's end of the wire, as `ip link` does; returns its id.
///
/// # Errors
/// Not root, or another program is attached.
pub fn settle(lab: &Lab) -> Result<u64> {
    // The bare program that drops everything, renamed: the new name has the same length.
    let mut object = DROP.to_vec();
    // The name is in the symbol table and in BTF.
    while let Some(at) = object.windows(10).position(|window| window == b"\0ntpguard\0") {
        object[at + 1..at + 9].copy_from_slice(b"stranger");
    }
    let files = tempfile::tempdir()?;
    let path = files.path().join("stranger.o");
    fs::write(&path, object)?;
    lab.server.run(&format!("ip link set dev {INTERFACE} xdp obj {} sec xdp.frags", path.display()))?;
    lab.attached()?.first().copied().context("no program is attached")
}
