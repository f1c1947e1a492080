//! An access line, as far as the daemon applies it.

use crate::daemon::{family::Family, flags::Flags};
use std::net::IpAddr;

/// What a line does to the entry for its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `restrict`: adds flags, and the entry if there is none.
    Add,
    /// NTPsec's `unrestrict`: removes flags, or without any flag the entry.
    Unrestrict,
    /// 4.2.8p18's `delrestrict`: removes the entry.
    Delete,
}

/// The hosts that a line is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `default`: every host that no other line matches.
    Default,
    /// `source`: the hosts of all associations.
    Source,
    /// An address, or with a mask a network.
    Address(IpAddr),
    /// A host name, with an entry for its address or addresses.
    Name(Box<str>),
}

/// An access line, as far as the daemon applies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLine {
    /// What it does to the entry.
    pub action: Action,
    /// The hosts that it is about.
    pub target: Target,
    /// The family that it is limited to; for `default` and names, `None` means both.
    pub family: Option<Family>,
    /// The mask of a network. A mask given as a name is in [`super::AccessList::mask_names`] instead.
    pub mask: Option<IpAddr>,
    /// The flags that take effect.
    pub flags: Flags,
    /// The file, as an index into [`super::AccessList::files`].
    pub file: u32,
    /// Line number, from 1.
    pub line: u32,
    /// Offset in the file, in bytes, at which it begins. Place and text are found there: [`super::AccessList::place`],
    /// [`super::AccessList::text`].
    pub start: u32,
}

// For a million lines, each byte here is a megabyte.
const _: () = assert!(size_of::<AccessLine>() <= 64);
