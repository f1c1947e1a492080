//! Reads the network backend's features from the XenStore, as far as a guest may.
//!
//! Messages are those of xen/include/public/io/xs_wire.h, over /dev/xen/xenbus, which only root may open.

use std::{
    fs::OpenOptions,
    io::{self, ErrorKind, Read, Write},
    path::Path,
};

/// XS_READ and XS_ERROR.
const READ: u32 = 2;
const ERROR: u32 = 16;
/// The longest payload (XENSTORE_PAYLOAD_MAX).
const LONGEST: usize = 4096;

/// Whether the backend of a network device leaves headroom before packets (`feature-xdp-headroom`), which XDP needs;
/// `node` is the device's own path in the store, as in /sys/class/net/IF/device/nodename.
///
/// # Errors
/// There is no XenStore, or this user may not read it.
pub(crate) fn backend_has_headroom(root: &Path, node: &str) -> io::Result<bool> {
    let mut store = OpenOptions::new().read(true).write(true).open(root.join("dev/xen/xenbus"))?;
    headroom(&mut store, node)
}

fn headroom(store: &mut (impl Read + Write), node: &str) -> io::Result<bool> {
    let backend = read(store, &format!("{node}/backend"))?;
    match read(store, &format!("{backend}/feature-xdp-headroom")) {
        Ok(value) => Ok(value == "1"),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads the value of a key.
fn read(store: &mut (impl Read + Write), key: &str) -> io::Result<String> {
    let path = [key.as_bytes(), b"\0"].concat();
    let length = u32::try_from(path.len()).map_err(io::Error::other)?;
    // The message type, the request's id, no transaction, and the length.
    let head = [READ, 0, 0, length].map(u32::to_ne_bytes).concat();
    store.write_all(&[head, path].concat())?;

    let mut head = [0; 16];
    store.read_exact(&mut head)?;
    let word = |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let length = word(12) as usize;
    if length > LONGEST {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut value = vec![0; length];
    store.read_exact(&mut value)?;
    let value = String::from_utf8_lossy(&value).trim_end_matches('\0').to_owned();
    match (word(0), value.as_str()) {
        (READ, _) => Ok(value),
        (ERROR, "ENOENT") => Err(ErrorKind::NotFound.into()),
        _ => Err(io::Error::other(format!("the XenStore says {value} of {key}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{os::unix::net::UnixStream, thread};

    /// Asks a made-up store, which gives these answers in turn.
    fn store(answers: &[(&'static str, u32, &'static [u8])]) -> io::Result<bool> {
        let (mut guest, mut host) = UnixStream::pair().unwrap();
        let answers = answers.to_vec();
        let host = thread::spawn(move || {
            for (key, kind, value) in answers {
                let mut asked = vec![0; 16 + key.len() + 1];
                host.read_exact(&mut asked).unwrap();
                assert_eq!(&asked[16..], format!("{key}\0").as_bytes());
                let head = [kind, 0, 0, value.len() as u32].map(u32::to_ne_bytes).concat();
                host.write_all(&[head, value.to_vec()].concat()).unwrap();
            }
        });
        let found = headroom(&mut guest, "device/vif/0");
        host.join().unwrap();
        found
    }

    #[test]
    fn a_backend_says_whether_it_leaves_room() {
        let backend = ("device/vif/0/backend", READ, &b"/local/domain/0/backend/vif/7/0"[..]);
        let key = "/local/domain/0/backend/vif/7/0/feature-xdp-headroom";
        assert!(store(&[backend, (key, READ, b"1")]).unwrap());
        assert!(!store(&[backend, (key, READ, b"0")]).unwrap());
        assert!(!store(&[backend, (key, ERROR, b"ENOENT\0")]).unwrap(), "an old backend");
        assert!(store(&[backend, (key, ERROR, b"EACCES\0")]).is_err());
        assert!(backend_has_headroom(Path::new("/nonexistent"), "device/vif/0").is_err());
    }
}
