//! What a restrict line says, as far as the daemon applies it.

use super::target::Target;
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

/// A restrict line, as far as the daemon applies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restrict {
    /// What it does.
    pub action: Action,
    /// Whom it speaks of.
    pub target: Target,
    /// `-4` or `-6`; `None` is both for `default` and names.
    pub family: Option<Family>,
    /// `mask MASK`, or of NTPsec's `/LENGTH`. One that 4.2.6 looks up by name is in [`super::ConfFile::mask_names`] instead.
    pub mask: Option<IpAddr>,
    /// The flags that take effect.
    pub flags: Flags,
    /// The file that it stands in, as an index into [`super::ConfFile::files`].
    pub(super) file: u32,
    /// The number of its line, from 1.
    pub(super) line: u32,
    /// Where it begins, in bytes from the beginning of the file. The rest is in there: [`super::ConfFile::place`],
    /// [`super::ConfFile::text`].
    pub(super) start: u32,
}

// Of a million lines, each byte is a megabyte.
const _: () = assert!(size_of::<Restrict>() <= 64);

/// What follows `mask`.
pub(super) enum Mask {
    /// An address.
    Is(IpAddr),
    /// A host, whose first address 4.2.6 takes.
    Named(Box<str>),
}
