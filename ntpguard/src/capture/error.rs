//! What is wrong with a capture, and where.

use std::{fmt, io};

/// Why a capture can't be read, or not to its end. Offsets are in bytes from the file's start, to the beginning of the
/// block that is at fault.
#[derive(Debug)]
pub enum Error {
    /// Not a single byte.
    Empty,
    /// Neither pcap nor pcapng, by its first bytes.
    NotACapture {
        /// What it is instead, if the first bytes tell, and what to do about it.
        hint: Option<&'static str>,
    },
    /// A capture by its first bytes, but of a version that can't be read.
    Version {
        /// Where the header is.
        offset: u64,
        /// The format.
        format: &'static str,
        /// The version's two numbers.
        version: (u16, u16),
    },
    /// The file ends inside a block.
    CutOff {
        /// Where the block begins.
        offset: u64,
        /// How long the block is, as far as its beginning tells.
        length: usize,
        /// How much of it is there.
        present: usize,
    },
    /// A block that contradicts itself, or what was before it.
    Damaged {
        /// Where the block begins.
        offset: u64,
        /// What is wrong with it.
        what: String,
    },
    /// The system failed to read.
    Read {
        /// Where the bytes would have been.
        offset: u64,
        /// The system's word.
        source: io::Error,
    },
}

impl Error {
    /// Where in the file the block at fault begins.
    pub const fn offset(&self) -> u64 {
        match self {
            Self::Empty | Self::NotACapture { .. } => 0,
            Self::Version { offset, .. }
            | Self::CutOff { offset, .. }
            | Self::Damaged { offset, .. }
            | Self::Read { offset, .. } => *offset,
        }
    }

    /// The file begins like no capture.
    pub(super) fn not_a_capture(bytes: &[u8]) -> Self {
        let known = LOOKALIKES.iter().find(|(magic, _)| bytes.starts_with(magic));
        Self::NotACapture { hint: known.map(|(_, hint)| *hint) }
    }
}

/// What people hand over instead of a capture.
const LOOKALIKES: [(&[u8], &str); 5] = [
    (b"\x1f\x8b", "it is compressed by gzip: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "it is compressed by zstd: unpack it first"),
    (b"\xfd7zXZ", "it is compressed by xz: unpack it first"),
    (b"BZh", "it is compressed by bzip2: unpack it first"),
    (b"snoop\0", "it is a snoop capture: convert it (editcap -F pcapng)"),
];

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the file is empty; even a capture without packets has a header"),
            Self::NotACapture { hint: None } => f.write_str("the file is no pcap or pcapng capture"),
            Self::NotACapture { hint: Some(hint) } => {
                write!(f, "the file is no pcap or pcapng capture; {hint}")
            }
            Self::Version { offset, format, version: (major, minor) } => write!(
                f,
                "{format} version {major}.{minor} at byte {offset} can't be read; convert the file (editcap -F pcapng)"
            ),
            Self::CutOff { offset, length, present } => write!(
                f,
                "the capture breaks off: the block at byte {offset} takes {length} bytes or more, and the file has \
                 {present} of them; was it still being written, or the disk full?"
            ),
            Self::Damaged { offset, what } => write!(f, "the capture is damaged at byte {offset}: {what}"),
            Self::Read { offset, .. } => write!(f, "can't read the capture on from byte {offset}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_is_instead_is_said() {
        let gzip = Error::not_a_capture(b"\x1f\x8b\x08\x00").to_string();
        assert_eq!(gzip, "the file is no pcap or pcapng capture; it is compressed by gzip: unpack it first");
        assert_eq!(Error::not_a_capture(b"\x7fELF").to_string(), "the file is no pcap or pcapng capture");
    }
}
