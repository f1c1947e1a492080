//! Who holds UDP port 123: sockets and processes, as the kernel shows them under /proc (proc(5)).

use crate::detect;
use ntpguard_common::wire::ntp;
use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, Read as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};

/// No ntpd is nearly as large; a process may call itself one and be anything.
const LARGEST_BINARY: u64 = 16 << 20;
/// Options of ntpd that take a value, whichever daemon knows them; `c` is the file. The rest of their word is the value.
const WITH_VALUE: &[u8] = b"cfiIkDlprstuUvw";

/// A socket on the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    /// The address that it is bound to.
    pub(super) address: IpAddr,
    inode: u64,
}

/// A process with such a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) pid: u32,
    /// What it is called.
    pub(super) name: String,
    /// Its program's file.
    pub(super) program: Option<PathBuf>,
    /// The release that the file names: `4.2.6p5`, `ntpsec`.
    pub(super) release: Option<String>,
    /// The ntp.conf on its command line, as it sees it.
    pub(super) config: Option<PathBuf>,
    /// The one that its program has built in, if none is named.
    pub(super) built_in: Option<PathBuf>,
    /// The systemd service that it belongs to.
    pub(super) service: Option<String>,
}

/// The processes, and whether some couldn't be looked at.
#[derive(Debug, Default)]
pub(super) struct Holders {
    pub(super) all: Vec<Holder>,
    pub(super) hidden: bool,
}

/// The sockets on the port in this network namespace.
pub(super) fn sockets(root: &Path) -> io::Result<Vec<Socket>> {
    let mut all = table(&fs::read_to_string(root.join("proc/net/udp"))?);
    match fs::read_to_string(root.join("proc/net/udp6")) {
        Ok(text) => all.extend(table(&text)),
        // A host without IPv6.
        Err(error) if error.kind() == io::ErrorKind::NotFound => (),
        Err(error) => return Err(error),
    }
    Ok(all)
}

fn table(text: &str) -> Vec<Socket> {
    text.lines().skip(1).filter_map(socket).collect()
}

/// A line as `12: 0100007F:007B 00000000:0000 07 … uid timeout inode …`.
fn socket(line: &str) -> Option<Socket> {
    let words: Vec<_> = line.split_whitespace().collect();
    let (address, port) = words.get(1)?.split_once(':')?;
    if u16::from_str_radix(port, 16).ok()? != ntp::PORT {
        return None;
    }
    // Words of 32 bits, each as this host would print the number in its memory.
    let word = |at: usize| Some(u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let address: IpAddr = match address.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        _ => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?).into()
        }
    };
    Some(Socket { address, inode: words.get(9)?.parse().ok()? })
}

/// The processes that have these sockets.
pub(super) fn holders(root: &Path, sockets: &[Socket]) -> io::Result<Holders> {
    let mut holders = Holders::default();
    for entry in fs::read_dir(root.join("proc"))? {
        // A process may be gone before it is looked at.
        let Ok(entry) = entry else { continue };
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        match holds(&entry.path(), sockets) {
            Ok(true) => holders.all.push(holder(pid, &entry.path())),
            Ok(false) => (),
            Err(error) => holders.hidden |= error.kind() == io::ErrorKind::PermissionDenied,
        }
    }
    holders.all.sort_by_key(|holder| holder.pid);
    Ok(holders)
}

fn holds(process: &Path, sockets: &[Socket]) -> io::Result<bool> {
    let links = fs::read_dir(process.join("fd"))?.flatten();
    let targets = links.filter_map(|link| fs::read_link(link.path()).ok());
    let mut inodes = targets.filter_map(|target| {
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok()
    });
    Ok(inodes.any(|inode| sockets.iter().any(|socket| socket.inode == inode)))
}

fn holder(pid: u32, process: &Path) -> Holder {
    let text = |name: &str| fs::read_to_string(process.join(name)).unwrap_or_default();
    let arguments: Vec<OsString> = fs::read(process.join("cmdline"))
        .unwrap_or_default()
        .split(|&b| b == 0)
        .map(|word| OsString::from_vec(word.to_vec()))
        .collect();
    let folder = fs::read_link(process.join("cwd")).unwrap_or_else(|_| PathBuf::from("/"));
    let name = text("comm").trim_end().to_owned();
    // Other programs may speak of ntpd's releases, as this one does.
    let ntpd = name.starts_with("ntpd").then(|| binary(&process.join("exe"))).flatten();
    Holder {
        pid,
        name,
        program: fs::read_link(process.join("exe")).ok(),
        release: ntpd.as_deref().and_then(detect::release),
        built_in: ntpd.as_deref().and_then(built_in),
        config: arguments.get(1..).and_then(config).map(|path| folder.join(path)),
        service: service(&text("cgroup")),
    }
}

/// Whether its file, as the process itself sees it, is there; an error if this user may not look.
pub(super) fn sees(root: &Path, pid: u32, path: &Path) -> io::Result<bool> {
    // Its own root: it may be in a chroot, or in a mount namespace.
    let within = root.join("proc").join(pid.to_string()).join("root");
    within.join(path.strip_prefix("/").unwrap_or(path)).try_exists()
}

fn binary(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(LARGEST_BINARY).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The file of `-c FILE`, `-cFILE`, `-gc FILE`, `--configfile FILE` or `--configfile=FILE`.
fn config(arguments: &[OsString]) -> Option<PathBuf> {
    let mut words = arguments.iter().map(|word| word.as_bytes());
    let mut found = None;
    while let Some(word) = words.next() {
        let value: Option<&[u8]> = if word == b"--configfile" {
            words.next()
        } else if let Some(value) = word.strip_prefix(b"--configfile=") {
            Some(value)
        } else if word.starts_with(b"-") && !word.starts_with(b"--") {
            let Some(at) = word.iter().skip(1).position(|letter| WITH_VALUE.contains(letter)) else {
                continue;
            };
            let (letter, rest) = (word[at + 1], &word[at + 2..]);
            let value = if rest.is_empty() { words.next() } else { Some(rest) };
            if letter != b'c' {
                continue;
            }
            value
        } else {
            None
        };
        // The last one counts, as with getopt(3).
        found =
            value.filter(|value| !value.is_empty()).map(|value| OsStr::from_bytes(value).into()).or(found);
    }
    found
}

/// The first string in a program that is the absolute path of an ntp.conf.
fn built_in(program: &[u8]) -> Option<PathBuf> {
    let strings = program.split(|&b| b == 0).filter(|string| string.ends_with(b"/ntp.conf"));
    // What isn't a string ends up before one.
    let paths = strings.filter(|string| string.starts_with(b"/") && string.iter().all(u8::is_ascii_graphic));
    paths.map(|path| OsStr::from_bytes(path).into()).next()
}

/// The last part of its control group that is a service (cgroups(7)).
fn service(cgroup: &str) -> Option<String> {
    let path = cgroup.lines().find_map(|line| {
        line.strip_prefix("0::").or(line.split_once("name=systemd:").map(|(_, path)| path))
    })?;
    Some(path.rsplit('/').find_map(|part| part.strip_suffix(".service"))?.to_owned())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// Puts a process with a socket on port 123 into a made-up /proc.
    pub(in crate::doctor) fn process(root: &Path, pid: u32, name: &str, line: &str, binary: &[u8]) {
        let process = root.join("proc").join(pid.to_string());
        fs::create_dir_all(process.join("fd")).unwrap();
        fs::create_dir_all(root.join("proc/net")).unwrap();
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
        let socket = "  1: 00000000:007B 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0 0\n";
        let other = "  2: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0 0\n";
        fs::write(root.join("proc/net/udp"), format!("{head}{socket}{other}")).unwrap();
        symlink("socket:[4711]", process.join("fd/3")).unwrap();
        symlink("/dev/null", process.join("fd/0")).unwrap();
        fs::write(process.join("comm"), format!("{name}\n")).unwrap();
        fs::write(process.join("cmdline"), line.replace(' ', "\0") + "\0").unwrap();
        let file = root.join(format!("{name}-{pid}"));
        fs::write(&file, binary).unwrap();
        symlink(&file, process.join("exe")).unwrap();
        symlink("/var/lib", process.join("cwd")).unwrap();
        symlink(root, process.join("root")).unwrap();
    }

    fn words(line: &str) -> Option<PathBuf> {
        config(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_process_with_the_socket() {
        let root = tempfile::tempdir().unwrap();
        process(root.path(), 77, "ntpd", "/usr/sbin/ntpd -gc ntp.conf", b"\x7fELF ntpd 4.2.6p5@1.2349-o\0");
        fs::create_dir_all(root.path().join("proc/78/fd")).unwrap();
        fs::write(root.path().join("proc/77/cgroup"), "0::/system.slice/ntp.service\n").unwrap();
        let sockets = sockets(root.path()).unwrap();
        assert_eq!(sockets, [Socket { address: Ipv4Addr::UNSPECIFIED.into(), inode: 4711 }]);
        let holders = holders(root.path(), &sockets).unwrap();
        let [holder] = &holders.all[..] else { panic!("{holders:?}") };
        assert_eq!(
            (holder.pid, holder.name.as_str(), holder.release.as_deref()),
            (77, "ntpd", Some("4.2.6p5"))
        );
        assert_eq!(holder.config.as_deref(), Some(Path::new("/var/lib/ntp.conf")));
        assert_eq!(holder.service.as_deref(), Some("ntp"));
    }

    #[test]
    fn addresses_of_both_families() {
        let line = |address: &str| {
            socket(&format!(" 1: {address}:007B 0:0000 07 0:0 0:0 0 0 0 99 2 0 0"))
                .map(|socket| socket.address)
        };
        // As a host with the least byte first prints them.
        if cfg!(target_endian = "little") {
            assert_eq!(line("010200C0"), Some("192.0.2.1".parse().unwrap()));
            assert_eq!(line("B80D0120000000000000000001000000"), Some("2001:db8::1".parse().unwrap()));
        }
        for broken in ["", "01", "0102000G", "ümlaut--"] {
            assert_eq!(line(broken), None, "{broken}");
        }
    }

    #[test]
    fn the_file_on_the_command_line() {
        for line in [
            "-c /a",
            "-c/a",
            "-g -c /a",
            "-gc /a",
            "-ngc/a",
            "--configfile=/a",
            "--configfile /a",
            "-p /b -c /a",
            "-c /b -c /a",
        ] {
            assert_eq!(words(line), Some("/a".into()), "{line}");
        }
        for line in ["-g", "-p -c", "-fc", "-c", "--config", "c /a", "-"] {
            assert_eq!(words(line), None, "{line}");
        }
    }

    #[test]
    fn the_file_in_the_program() {
        let found = |bytes: &[u8]| built_in(bytes);
        assert_eq!(found(b"\x7fELF\0/etc/ntpsec/ntp.conf\0v1.2.2\0"), Some("/etc/ntpsec/ntp.conf".into()));
        assert_eq!(
            found(b"\0see /etc/ntp.conf\0/usr/local/etc/ntp.conf\0"),
            Some("/usr/local/etc/ntp.conf".into())
        );
        assert_eq!(found(b"\0ntp.conf\0/etc/ntp.conf.d\0"), None);
    }

    #[test]
    fn services() {
        assert_eq!(service("0::/system.slice/ntpsec.service\n").as_deref(), Some("ntpsec"));
        assert_eq!(service("1:name=systemd:/system.slice/ntpd.service\n").as_deref(), Some("ntpd"));
        assert_eq!(service("0::/user.slice/session-1.scope\n"), None);
    }
}
