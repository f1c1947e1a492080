//! Finds the processes that hold UDP port 123 in this network namespace.
//!
//! Contract: exact where /proc/PID/fd may be read. A service lacks root's right to that (CAP_SYS_PTRACE); it finds the
//! processes in the sockets' control groups whose names are those of daemons and whose network namespace contains the
//! same socket. Processes that neither way finds aren't reported.

use super::{
    command_line::CUT,
    release::{self, Program},
    socket::{self, Socket},
};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File},
    io::{self, ErrorKind, Read as _},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{DirEntryExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

/// No ntpd is nearly this large, but any process may call itself one.
const LARGEST_BINARY: u64 = 16 << 20;
/// How deep the control group folders are searched.
const DEEPEST_GROUP: usize = 8;
/// Ticks a second of the times in /proc/PID/stat, on every architecture (include/asm-generic/param.h: USER_HZ).
const USER_HZ: u64 = 100;

/// A process that holds one of the sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) pid: u32,
    /// Its name (/proc/PID/comm).
    pub(crate) name: String,
    /// The file of its program: the running binary, or if that isn't visible the path that it was started with.
    pub(crate) file: Option<PathBuf>,
    /// The program, if ntpguard knows it, and only root can have put it there.
    pub(crate) program: Option<Program>,
    /// Its command line without the program's name; the last word ends with [`CUT`] if it goes on.
    pub(crate) arguments: Vec<String>,
    /// Its working directory, for relative paths.
    folder: PathBuf,
    /// The path of ntp.conf that is built into its program.
    pub(crate) built_in: Option<PathBuf>,
    /// The systemd service that it belongs to.
    pub(crate) service: Option<String>,
    /// When it was started, in seconds since 1970.
    pub(crate) since: Option<u64>,
}

impl Holder {
    /// A path on its command line, resolved against its working directory.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }
}

/// The processes found, and whether some couldn't be examined.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    pub(crate) all: Vec<Holder>,
    pub(crate) hidden: bool,
}

/// The processes that hold these sockets.
///
/// # Errors
/// There is no /proc.
pub(crate) fn holders(root: &Path, sockets: &[Socket]) -> io::Result<Holders> {
    if sockets.is_empty() {
        return Ok(Holders::default());
    }
    let groups: Vec<u64> = sockets.iter().filter_map(|socket| socket.cgroup).collect();
    if let Some(members) = members(&root.join("sys/fs/cgroup"), &groups, DEEPEST_GROUP) {
        let holders = among(root, sockets, members);
        if !holders.all.is_empty() {
            return Ok(holders);
        }
    }
    // The group isn't visible from here (another hierarchy or namespace), or the process has left it.
    let processes = fs::read_dir(root.join("proc"))?.flatten();
    Ok(among(root, sockets, processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok())))
}

/// The ones among some processes that hold these sockets.
fn among(root: &Path, sockets: &[Socket], processes: impl IntoIterator<Item = u32>) -> Holders {
    let (mut all, mut hidden) = (Vec::new(), Vec::new());
    for pid in processes {
        match holds(&root.join("proc").join(pid.to_string()), sockets) {
            Ok(true) => all.extend(holder(root, pid)),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => hidden.push(pid),
            // A process may exit before it is examined.
            Ok(false) | Err(_) => (),
        }
    }
    if all.is_empty() {
        all = likely(root, sockets, &hidden);
    }
    all.sort_by_key(|holder| holder.pid);
    Holders { all, hidden: !hidden.is_empty() }
}

/// Whether a process holds one of the sockets. Root without CAP_SYS_PTRACE may list the descriptors of root's
/// processes, but not read what they refer to (fs/proc/fd.c:proc_fd_permission, fs/proc/base.c:proc_pid_readlink): that
/// is the error then.
fn holds(process: &Path, sockets: &[Socket]) -> io::Result<bool> {
    let mut refused = None;
    for link in fs::read_dir(process.join("fd"))?.flatten() {
        match fs::read_link(link.path()) {
            Ok(target) if inode(&target).is_some_and(|inode| sockets.iter().any(|s| s.inode == inode)) => {
                return Ok(true);
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => refused = Some(error),
            // A descriptor may be closed before it is examined.
            Ok(_) | Err(_) => (),
        }
    }
    refused.map_or(Ok(false), Err)
}

/// The inode of a socket, from the target of a descriptor's link.
fn inode(target: &Path) -> Option<u64> {
    target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Whether a process of this name may be an ntpd. `ntpdate` holds the port for some seconds at boot, and isn't one.
pub(crate) fn may_be_ntpd(name: &str) -> bool {
    name.starts_with("ntpd") && name != "ntpdate"
}

/// Of the processes whose descriptors can't be read, those that are the daemon by all that is visible.
fn likely(root: &Path, sockets: &[Socket], hidden: &[u32]) -> Vec<Holder> {
    let of_network = |pid: &&u32| {
        let seen = socket::tables(root, &format!("proc/{pid}/net")).unwrap_or_default();
        seen.iter().any(|seen| sockets.iter().any(|socket| socket.inode == seen.inode))
    };
    let named = |pid: &&u32| {
        let name = fs::read_to_string(root.join(format!("proc/{pid}/comm"))).unwrap_or_default();
        may_be_ntpd(name.trim_end()) || Program::named(name.trim_end()).is_some()
    };
    hidden.iter().filter(named).filter(of_network).filter_map(|pid| holder(root, *pid)).collect()
}

/// The processes in the control groups with these inode numbers; `None` if none of the groups is found. With several
/// hierarchies, more than one may have a folder with that number, with the same processes.
fn members(root: &Path, groups: &[u64], depth: usize) -> Option<BTreeSet<u32>> {
    let mut found = None;
    let is_wanted = fs::metadata(root).is_ok_and(|folder| groups.contains(&folder.ino()));
    if is_wanted && let Ok(text) = fs::read_to_string(root.join("cgroup.procs")) {
        let members = text.lines().filter_map(|line| line.parse::<u32>().ok());
        found.get_or_insert_with(BTreeSet::new).extend(members);
    }
    for entry in fs::read_dir(root).into_iter().flatten().flatten().filter(|_| depth > 0) {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir()) && entry.ino() != 0;
        if is_folder && let Some(more) = members(&entry.path(), groups, depth - 1) {
            found.get_or_insert_with(BTreeSet::new).extend(more);
        }
    }
    found
}

fn holder(root: &Path, pid: u32) -> Option<Holder> {
    let process = root.join("proc").join(pid.to_string());
    let text = |name: &str| fs::read_to_string(process.join(name)).unwrap_or_default();
    let line = fs::read(process.join("cmdline")).ok()?;
    let mut words = line.split(|&b| b == 0);
    let first = words.next().unwrap_or_default();
    let mut arguments: Vec<_> = words.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    // The last word ends with a zero byte, too; if it doesn't, it is cut off.
    match arguments.pop() {
        Some(rest) if !rest.is_empty() => arguments.push(rest + CUT),
        _ => (),
    }
    let name = text("comm").trim_end().to_owned();
    let file = binary(&process, OsStr::from_bytes(first));
    // The files of a test belong to the user who runs it.
    let read = if root == Path::new("/") { trusted } else { contents };
    let bytes = file.as_deref().and_then(read);
    // Other programs may contain the names of ntpd's releases, as this one does.
    let ntpd = bytes.filter(|_| may_be_ntpd(&name));
    Some(Holder {
        pid,
        program: Program::named(&name).or_else(|| ntpd.as_deref().and_then(Program::in_binary)),
        built_in: ntpd.as_deref().and_then(release::built_in_config).map(Path::to_owned),
        folder: fs::read_link(process.join("cwd")).unwrap_or_else(|_| PathBuf::from("/")),
        file: fs::read_link(process.join("exe")).ok().or(file),
        name,
        arguments,
        service: service(&text("cgroup")),
        since: since(&text("stat"), &fs::read_to_string(root.join("proc/stat")).unwrap_or_default()),
    })
}

/// A process's binary: by its exe link, or if only root with all capabilities may follow that (CAP_SYS_PTRACE, which a
/// service lacks), by the path that it was started with. Whoever chooses that path could as well start the program
/// there.
fn binary(process: &Path, named: &OsStr) -> Option<PathBuf> {
    let link = process.join("exe");
    let is_denied = fs::metadata(&link).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
    if !is_denied {
        return Some(link);
    }
    Some(PathBuf::from(named)).filter(|path| path.is_absolute())
}

/// The bytes of a binary that only root can have put there: a user who can name a process ntpd must not choose how the
/// file is read.
pub(crate) fn trusted(binary: &Path) -> Option<Vec<u8>> {
    let metadata = fs::metadata(binary).ok()?;
    let root_alone = metadata.uid() == 0 && metadata.mode() & 0o022 == 0;
    if metadata.is_file() && root_alone { contents(binary) } else { None }
}

fn contents(binary: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(binary).ok()?.take(LARGEST_BINARY).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Whether a file exists as a process sees it; an error if this user may not look.
pub(crate) fn sees(root: &Path, pid: u32, path: &Path) -> io::Result<bool> {
    // Below the process's own root, since it may be in a chroot or in a mount namespace.
    let within = root.join("proc").join(pid.to_string()).join("root");
    within.join(path.strip_prefix("/").unwrap_or(path)).try_exists()
}

/// The path by which this process reaches a file as another process sees it, if that is a different file from the one
/// under the same path here: the other process is in a mount namespace of its own, as in a container. `None` also where
/// only root with all capabilities may look (CAP_SYS_PTRACE).
pub(crate) fn of_its_own(root: &Path, pid: u32, path: &Path) -> Option<PathBuf> {
    let relative = path.strip_prefix("/").unwrap_or(path);
    let within = root.join("proc").join(pid.to_string()).join("root").join(relative);
    let identity = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    // A file that doesn't exist there was read before the daemon entered its chroot.
    let theirs = identity(&within)?;
    (identity(&root.join(relative)) != Some(theirs)).then_some(within)
}

/// When a process was started, in seconds since 1970: field 22 of /proc/PID/stat, in ticks since boot
/// (proc_pid_stat(5)), plus the time of boot.
fn since(own: &str, machine: &str) -> Option<u64> {
    // The process's name may contain blanks and parentheses.
    let (_, fields) = own.rsplit_once(") ")?;
    let ticks: u64 = fields.split(' ').nth(22 - 3)?.parse().ok()?;
    let boot: u64 = machine.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + ticks / USER_HZ)
}

/// The innermost part of its control group that is a service (cgroups(7)).
fn service(cgroup: &str) -> Option<String> {
    let path = cgroup.lines().find_map(|line| {
        line.strip_prefix("0::").or(line.split_once("name=systemd:").map(|(_, path)| path))
    })?;
    Some(path.rsplit('/').find_map(|part| part.strip_suffix(".service"))?.to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::{net::Ipv4Addr, os::unix::fs::symlink};

    /// Adds a process with a socket on port 123 to a made-up /proc.
    pub(crate) fn process(root: &Path, pid: u32, name: &str, line: &str, binary: &[u8]) {
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

    /// Puts a process into a mount namespace of its own, which contains a file.
    pub(crate) fn contain(root: &Path, pid: u32, path: &str, text: &str) -> PathBuf {
        let own = root.join("proc").join(pid.to_string()).join("root");
        fs::remove_file(&own).unwrap();
        let file = own.join(path.trim_start_matches('/'));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        file
    }

    #[test]
    fn a_file_of_another_mount_namespace() {
        let root = tempfile::tempdir().unwrap();
        process(root.path(), 77, "ntpd", "ntpd", b"");
        let of_its_own = || of_its_own(root.path(), 77, Path::new("/etc/ntp.conf"));
        fs::create_dir_all(root.path().join("etc")).unwrap();
        assert_eq!(of_its_own(), None, "it is in neither");
        fs::write(root.path().join("etc/ntp.conf"), "").unwrap();
        assert_eq!(of_its_own(), None, "the same file");
        let file = contain(root.path(), 77, "/etc/ntp.conf", "");
        assert_eq!(of_its_own().as_ref(), Some(&file));
        fs::remove_file(root.path().join("etc/ntp.conf")).unwrap();
        assert_eq!(of_its_own(), Some(file));
    }

    #[test]
    fn the_process_with_the_socket() {
        let root = tempfile::tempdir().unwrap();
        process(root.path(), 77, "ntpd", "/usr/sbin/ntpd -gc ntp.conf", b"\x7fELF ntpd 4.2.6p5@1.2349-o\0");
        fs::create_dir_all(root.path().join("proc/78/fd")).unwrap();
        fs::write(root.path().join("proc/77/cgroup"), "0::/system.slice/ntp.service\n").unwrap();
        let sockets = socket::sockets(root.path()).unwrap();
        let expected = Socket { address: Ipv4Addr::UNSPECIFIED.into(), inode: 4711, cgroup: None };
        assert_eq!(sockets, [expected]);
        let holders = holders(root.path(), &sockets).unwrap();
        let [holder] = &holders.all[..] else { panic!("{holders:?}") };
        assert_eq!((holder.pid, holder.name.as_str()), (77, "ntpd"));
        assert_eq!(holder.program, Some(Program::NtpOrg("4.2.6p5".to_owned())));
        assert_eq!(holder.arguments, ["-gc", "ntp.conf"]);
        assert_eq!(holder.path(Path::new("ntp.conf")), Path::new("/var/lib/ntp.conf"));
        assert_eq!(holder.service.as_deref(), Some("ntp"));
    }

    #[test]
    fn a_command_line_that_is_cut_off_is_known_to_be() {
        let root = tempfile::tempdir().unwrap();
        process(
            root.path(),
            77,
            "ntpd",
            "/usr/sbin/ntpd -g ntp.example.net",
            b"\x7fELF ntpd 4.2.6p5@1.2349-o\0",
        );
        fs::write(root.path().join("proc/77/cmdline"), "/usr/sbin/ntpd\0-g\0ntp.exam").unwrap();
        let sockets = socket::sockets(root.path()).unwrap();
        assert_eq!(holders(root.path(), &sockets).unwrap().all[0].arguments, ["-g", "ntp.exam\u{2026}"]);
    }

    #[test]
    fn a_group_that_is_found_narrows_the_processes_down() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("system.slice/ntp.service");
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("cgroup.procs"), "77\n78\n").unwrap();
        fs::write(root.path().join("cgroup.procs"), "1\n").unwrap();
        let number = fs::metadata(&group).unwrap().ino();
        assert_eq!(members(root.path(), &[number], 8), Some(BTreeSet::from([77, 78])));
        assert_eq!(members(root.path(), &[number], 1), None, "too deep");
        assert_eq!(members(root.path(), &[], 8), None);
    }

    #[test]
    fn when_a_process_was_started() {
        let fields = "S 1 77 77 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 1000 200";
        let stat = format!("77 (nt) pd) {fields} 18446744073709551615");
        assert_eq!(since(&stat, "cpu 1\nbtime 1700000000\nprocesses 3\n"), Some(1_700_000_123));
        assert_eq!(since("", "btime 1\n"), None);
        assert_eq!(since(&stat, ""), None);
    }

    #[test]
    fn a_binary_that_others_can_write_is_not_believed() {
        use std::os::unix::fs::PermissionsExt as _;
        let binary = tempfile::NamedTempFile::new().unwrap();
        fs::write(binary.path(), "ntpd 4.2.6p5@1").unwrap();
        let mode = |mode| fs::set_permissions(binary.path(), fs::Permissions::from_mode(mode)).unwrap();
        mode(0o755);
        assert_eq!(trusted(binary.path()).is_some(), nix::unistd::geteuid().is_root());
        mode(0o775);
        assert_eq!(trusted(binary.path()), None);
        assert_eq!(trusted(Path::new("/nonexistent")), None);
    }

    #[test]
    fn services() {
        assert_eq!(service("0::/system.slice/ntpsec.service\n").as_deref(), Some("ntpsec"));
        assert_eq!(service("1:name=systemd:/system.slice/ntpd.service\n").as_deref(), Some("ntpd"));
        assert_eq!(service("0::/user.slice/session-1.scope\n"), None);
    }
}
