//! Errors in a capture, with their place in the file.

use std::{fmt, io};

/// Why a capture can't be read, or not to its end. Offsets are in bytes from the start of the file to the beginning of the
/// faulty block.
#[derive(Debug)]
pub enum Error {
    /// The file is empty.
    Empty,
    /// The first bytes are neither those of pcap nor of pcapng.
    NotACapture {
        /// What the file is instead, if its first bytes show that, and what to do about it.
        hint: Option<&'static str>,
    },
    /// A capture of a version that isn't supported.
    Version {
        /// The offset of the header.
        offset: u64,
        /// The name of the format.
        format: &'static str,
        /// The major and minor version.
        version: (u16, u16),
    },
    /// The file ends within a block.
    CutOff {
        /// The offset of the block.
        offset: u64,
        /// The length of the block, as far as its beginning shows it.
        length: usize,
        /// How many bytes of it are in the file.
        present: usize,
    },
    /// A block that contradicts itself or an earlier block.
    Damaged {
        /// The offset of the block.
        offset: u64,
        /// What is wrong with it.
        what: String,
    },
    /// The operating system failed to read.
    Read {
        /// The offset at which reading failed.
        offset: u64,
        /// The system's error.
        source: io::Error,
    },
}

impl Error {
    /// The offset of the faulty block.
    pub const fn offset(&self) -> u64 {
        match self {
            Self::Empty | Self::NotACapture { .. } => 0,
            Self::Version { offset, .. }
            | Self::CutOff { offset, .. }
            | Self::Damaged { offset, .. }
            | Self::Read { offset, .. } => *offset,
        }
    }

    /// The error for a file whose first bytes aren't those of a capture.
    pub(super) fn not_a_capture(bytes: &[u8]) -> Self {
        let known = LOOKALIKES.iter().find(|(magic, _)| bytes.starts_with(magic));
        Self::NotACapture { hint: known.map(|(_, hint)| *hint) }
    }
}

/// Other files that people mistake for a capture, by their first bytes.
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
