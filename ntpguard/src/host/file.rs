//! Reads files whose names others may choose: only regular files, and only up to a size.
//!
//! A named pipe would block the reader until it is written to, a device may never end, and opening some devices has
//! effects. So the kind is checked before the file is opened, and again when it is open.

use nix::{errno::Errno, fcntl::OFlag};
use std::{
    error::Error,
    fmt,
    fs::{self, File, FileType},
    io::{self, Read as _},
    os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    path::Path,
};

/// The largest size in bytes of a file that ntpguard itself writes, except the state: much more than it ever writes.
pub const KEPT: u64 = 256 << 20;

/// Why a file isn't read although this user has the right to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Odd {
    /// It is a named pipe, a socket or a device, by name. A directory is the kernel's own error.
    Kind(&'static str),
    /// It is larger than this many bytes.
    Large(u64),
}

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind) => write!(f, "it is {kind}, and only regular files are read"),
            Self::Large(most) => write!(f, "it is larger than {} MiB, and not read any further", most >> 20),
        }
    }
}

impl Error for Odd {}

impl Odd {
    /// The reason in an error of this module; `None` if it is another error.
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl From<Odd> for io::Error {
    fn from(odd: Odd) -> Self {
        Self::new(io::ErrorKind::InvalidInput, odd)
    }
}

/// Opens a regular file for reading, without ever blocking.
///
/// # Errors
/// It can't be opened, or isn't a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    regular(fs::metadata(path)?.file_type())?;
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let opened = File::options().read(true).custom_flags(flags.bits()).open(path);
    let file = opened.map_err(|error| match error.raw_os_error() {
        // The lease's holder would have to release it first (fcntl(2), F_SETLEASE).
        Some(errno) if errno == Errno::EWOULDBLOCK as i32 => {
            io::Error::new(io::ErrorKind::WouldBlock, "another process holds a lease on it: try again later")
        }
        _ => error,
    })?;
    regular(file.metadata()?.file_type())?;
    Ok(file)
}

/// Reads a whole regular file of at most `most` bytes.
///
/// # Errors
/// It can't be read, isn't a regular file, or is larger.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let length = file.metadata()?.len();
    if length > most {
        return Err(Odd::Large(most).into());
    }
    let mut bytes = Vec::with_capacity(length as usize);
    // It may grow while it is read.
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(Odd::Large(most).into());
    }
    Ok(bytes)
}

fn regular(kind: FileType) -> io::Result<()> {
    if kind.is_file() {
        return Ok(());
    }
    if kind.is_dir() {
        return Err(Errno::EISDIR.into());
    }
    let kinds = [
        (kind.is_fifo(), "a named pipe (FIFO)"),
        (kind.is_socket(), "a socket"),
        (kind.is_char_device() || kind.is_block_device(), "a device"),
    ];
    let known = kinds.into_iter().find_map(|(is, name)| is.then_some(name));
    Err(Odd::Kind(known.unwrap_or("no file")).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::{sys::stat::Mode, unistd::mkfifo};
    use std::os::unix::net::UnixListener;

    #[test]
    fn only_regular_files_are_read_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        mkfifo(&path("pipe"), Mode::S_IRWXU).unwrap();
        let _socket = UnixListener::bind(path("socket")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path("zero")).unwrap();
        for (name, kind) in [("pipe", "a named pipe (FIFO)"), ("socket", "a socket"), ("zero", "a device")] {
            let error = read(&path(name), 100).unwrap_err();
            assert_eq!(Odd::of(&error), Some(Odd::Kind(kind)));
        }
        let error = read(folder.path(), 100).unwrap_err();
        assert_eq!((error.kind(), Odd::of(&error)), (io::ErrorKind::IsADirectory, None));
    }

    #[test]
    fn no_more_is_read_than_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("holes");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(Odd::of(&read(&path, 1 << 20).unwrap_err()), Some(Odd::Large(1 << 20)));
        fs::write(&path, "text").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"text");
        assert!(read(&path, 3).is_err());
        // Files in /proc report a size of 0.
        assert!(read(Path::new("/proc/self/status"), 1 << 20).unwrap().len() > 100);
    }
}
