//! What a line says of access, as far as the daemon applies it.

use crate::daemon::{family::Family, flags::Flags};
use std::net::IpAddr;

/// What a line does to the entry that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `restrict`: adds flags, and the entry if there is none.
    Add,
    /// NTPsec's `unrestrict`: takes flags away, or without any the entry.
    Unrestrict,
    /// 4.2.8p18's `delrestrict`: takes the entry away.
    Delete,
}

/// Whom a line speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `default`: everyone without a line.
    Default,
    /// `source`: the hosts of all associations.
    Source,
    /// An address; with a mask a network.
    Address(IpAddr),
    /// A host name, with an entry for its addresses.
    Name(Box<str>),
}

/// A line about access, as far as the daemon applies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLine {
    /// What it does.
    pub action: Action,
    /// Whom it speaks of.
    pub target: Target,
    /// The family that it is for; `None` is both for `default` and names.
    pub family: Option<Family>,
    /// The mask of a network. One that is a name is in [`super::AccessList::mask_names`] instead.
    pub mask: Option<IpAddr>,
    /// The flags that take effect.
    pub flags: Flags,
    /// The file that it stands in, as an index into [`super::AccessList::files`].
    pub file: u32,
    /// The number of its line, from 1.
    pub line: u32,
    /// Where it begins, in bytes from the beginning of the file. The rest is in there: [`super::AccessList::place`],
    /// [`super::AccessList::text`].
    pub start: u32,
}

// Of a million lines, each byte is a megabyte.
const _: () = assert!(size_of::<AccessLine>() <= 64);
