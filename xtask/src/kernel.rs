//! Debian's kernels, unpacked but never installed.

use crate::{
    debian::{find, update},
    run::{lab, output},
};
use anyhow::{Context as _, Result};
use std::{path::PathBuf, process::Command};

/// A series of kernels on which ntpguard is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Series {
    /// Debian 12's; the oldest that ntpguard supports.
    #[value(name = "6.1")]
    V6_1,
    /// Debian 13's.
    #[value(name = "6.12")]
    V6_12,
}

/// One series, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Choice {
    /// Debian 12's; the oldest that ntpguard supports.
    #[value(name = "6.1")]
    V6_1,
    /// Debian 13's.
    #[value(name = "6.12")]
    V6_12,
    /// Each, one after the other.
    All,
}

impl Choice {
    /// The chosen series.
    pub(crate) fn series(self) -> Vec<Series> {
        match self {
            Self::V6_1 => vec![Series::V6_1],
            Self::V6_12 => vec![Series::V6_12],
            Self::All => ALL.to_vec(),
        }
    }
}

/// All series.
pub(crate) const ALL: [Series; 2] = [Series::V6_1, Series::V6_12];

/// Which kernel package of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The cloud kernel: small, with few drivers.
    Cloud,
    /// The generic kernel, with all drivers.
    Generic,
}

impl Series {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
        }
    }

    /// The folder into which it is unpacked.
    pub(crate) fn folder(self, kind: Kind) -> PathBuf {
        let suffix = if kind == Kind::Generic { "-generic" } else { "" };
        lab().join(format!("linux-{}{suffix}", self.name()))
    }

    /// The bootable image, if the kernel is unpacked.
    pub(crate) fn image(self, kind: Kind) -> Option<PathBuf> {
        find(&self.folder(kind).join("boot"), |name| name.starts_with("vmlinuz-"))
    }

    /// The folder of the kernel's modules.
    pub(crate) fn modules(self, kind: Kind) -> Result<PathBuf> {
        // In /usr/lib on systems where /lib is a link to it.
        let folders = ["lib/modules", "usr/lib/modules"].map(|folder| self.folder(kind).join(folder));
        folders.iter().find_map(|folder| find(folder, |_| true)).context("the kernel has no modules")
    }

    /// The series' newest signed package that is neither a real-time nor a debug kernel.
    pub(crate) fn package(self, kind: Kind) -> Result<String> {
        update()?;
        let ending = if kind == Kind::Cloud { "-cloud-amd64" } else { "-amd64" };
        let pattern = format!("^linux-image-{}\\..*{ending}$", self.name().replace('.', "\\."));
        let found = output(Command::new("apt-cache").args(["search", "--names-only", &pattern]))?;
        let names = found.lines().filter_map(|line| line.split_whitespace().next());
        let others = if kind == Kind::Cloud { &["-rt-"][..] } else { &["-rt-", "-cloud-"] };
        let names = names.filter(|name| !others.iter().any(|other| name.contains(other)));
        let newest = names.max_by_key(|name| numbers(name));
        let newest =
            newest.with_context(|| format!("this system's packages have no kernel {}", self.name()))?;
        Ok(newest.to_owned())
    }
}

/// The numbers in a name, so that -9 is ordered before -10.
fn numbers(name: &str) -> Vec<u32> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}
