//! Compiles fixtures to images, without DNS.

use anyhow::{Context as _, Result};
use ntpguard::{
    compile::{Hardening, Image},
    conf::{AccessList, ntp},
    daemon::dialect::{Daemon, Dialect},
    policy::Policy,
};
use std::{
    io::{self, Write as _},
    net::IpAddr,
    path::{Path, PathBuf},
};

/// All fixtures that have to load; the last one is the absence of a file.
pub const FIXTURES: [Option<&str>; 9] = [
    Some("hosting.conf"),
    Some("hosting-monitor.conf"),
    Some("debian-ntpsec.conf"),
    Some("pool.conf"),
    Some("lan.conf"),
    Some("flags.conf"),
    Some("gaps.conf"),
    Some("empty.conf"),
    None,
];

/// The addresses of the daemon's host in fixtures and vectors.
pub const OWN: [&str; 4] = ["198.18.0.1", "2001:db8:ffff::1", "127.0.0.1", "::1"];

/// All dialects.
pub const DIALECTS: [Dialect; 3] = [Dialect::Ntp426, Dialect::Ntp428, Dialect::NtpSec];

/// The path of a fixture; in a VM the environment says where fixtures are.
pub fn path(name: &str) -> PathBuf {
    std::env::var_os("NTPGUARD_FIXTURES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures"), PathBuf::from)
        .join(name)
}

/// A configuration, and what it compiles to.
pub struct Compiled {
    /// The file as it was read.
    pub conf: AccessList,
    /// The policy, with names resolved by [`names`].
    pub policy: Policy,
    /// The image for the kernel.
    pub image: Image,
}

/// Reads and compiles a file; `None` is the absence of a file.
///
/// # Errors
/// The file can't be read.
pub fn compile(file: Option<&Path>, dialect: Dialect, hardening: Hardening) -> Result<Compiled> {
    let conf = ntp::read(file, Daemon::new(dialect)).context("fixture")?;
    let own = OWN.map(|address| address.parse().expect("an address"));
    let policy = Policy::resolve(&conf, &names, &own);
    let image = Image::compile(&policy, &conf, hardening);
    Ok(Compiled { conf, policy, image })
}

/// Like [`compile`], for a text.
///
/// # Errors
/// There is no place for a temporary file.
pub fn compile_text(text: &str, dialect: Dialect, hardening: Hardening) -> Result<Compiled> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(text.as_bytes())?;
    compile(Some(file.path()), dialect, hardening)
}

/// Resolves the names in the fixtures.
///
/// # Errors
/// The name isn't in the fixtures.
pub fn names(name: &str) -> io::Result<Vec<IpAddr>> {
    match name {
        "ntp1.example.net" => Ok(addresses(&["203.0.113.123", "2001:db8:113::123"])),
        // Several addresses, as a pool or a name of several servers has.
        "ntp2.example.net" => Ok(addresses(&["203.0.113.1", "203.0.113.2"])),
        "0.pool.example.net" => Ok(addresses(&["198.51.100.1", "198.51.100.2", "2001:db8:51::1"])),
        _ => Err(io::Error::new(io::ErrorKind::NotFound, "no such name in the fixtures")),
    }
}

fn addresses(written: &[&str]) -> Vec<IpAddr> {
    written.iter().map(|address| address.parse().expect("an address")).collect()
}
