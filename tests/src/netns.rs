//! Network namespaces without names: hosts that exist only as long as a test uses them.
//!
//! Contract: a namespace, its interfaces and what is attached to them vanish with the last descriptor of it and the last
//! process in it, however the test ends. Nothing outside the namespaces made here is touched.

use anyhow::{Context as _, Result, bail};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
    sys::signal::Signal,
    unistd::chdir,
};
use std::{
    fs::File,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd},
    os::unix::process::CommandExt as _,
    process::{self, Command},
    thread,
};

/// A network namespace with loopback up, and a mount namespace for its commands.
pub struct Netns {
    file: File,
    mounts: File,
}

impl Netns {
    /// Makes a namespace.
    ///
    /// # Errors
    /// Not root.
    pub fn new() -> Result<Self> {
        let made = thread::spawn(|| -> Result<Self> {
            unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
                .context("can't make a network namespace: run as root")?;
            // Mounts made here aren't visible elsewhere.
            mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
            let open = |kind| File::open(format!("/proc/thread-self/ns/{kind}"));
            Ok(Self { file: open("net")?, mounts: open("mnt")? })
        });
        let netns = made.join().expect("the thread doesn't panic")?;
        netns.run("ip link set lo up")?;
        Ok(netns)
    }

    /// Runs `work` inside, on a separate thread; sockets that it opens stay in the namespace.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(self, CloneFlags::CLONE_NEWNET).expect("a live namespace");
                work()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Like [`Netns::enter`], also in the mount namespace of the commands.
    pub fn enter_with_mounts<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.enter(|| {
            // A thread that shares its root and current folder with others may not change its mount namespace.
            unshare(CloneFlags::CLONE_FS).expect("root");
            setns(&self.mounts, CloneFlags::CLONE_NEWNS).expect("a live namespace");
            work()
        })
    }

    /// A command that runs inside, and is killed when the calling thread ends.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let [file, mounts] = [&self.file, &self.mounts].map(|file| file.try_clone().expect("a descriptor"));
        let folder = std::env::current_dir().expect("a current folder");
        // SAFETY: setns(2), chdir(2) and prctl(2) may be called between fork and exec.
        unsafe {
            command.pre_exec(move || {
                setns(&file, CloneFlags::CLONE_NEWNET)?;
                setns(&mounts, CloneFlags::CLONE_NEWNS)?;
                // Entering the mount namespace has changed the current folder to the root.
                chdir(&folder)?;
                nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
                Ok(())
            });
        }
        command
    }

    /// Runs a command line like `ip link set lo up` inside, and returns its standard output.
    ///
    /// # Errors
    /// The command fails; the error contains its standard error.
    pub fn run(&self, line: &str) -> Result<String> {
        let mut words = line.split_whitespace();
        let mut command = self.command(words.next().context("an empty line")?);
        let output = command.args(words).output().with_context(|| format!("can't run `{line}`"))?;
        if !output.status.success() {
            bail!("`{line}` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The path by which other processes can open the namespace.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.file.as_raw_fd())
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The name of the interfaces at both ends of the wire.
pub const INTERFACE: &str = "ntp0";

/// The id and the name of the XDP program on an interface of a host; `None` if it has none.
///
/// # Panics
/// There is no interface of this name.
pub fn program(host: &Netns, name: &str) -> Option<(u64, String)> {
    let shown = host.run(&format!("ip -json -details link show dev {name}")).unwrap();
    let links: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let program = &links[0]["xdp"]["prog"];
    Some((program["id"].as_u64()?, program["name"].as_str().unwrap_or_default().to_owned()))
}

/// A server and an outside host that stands for everybody else, joined by a veth pair.
pub struct Lab {
    /// The host of the daemon and of ntpguard: 192.0.2.1, 2001:db8::1.
    pub server: Netns,
    /// The host of clients and attackers: 192.0.2.2, 2001:db8::2, and the addresses that [`Lab::address`] adds.
    pub outside: Netns,
}

impl Lab {
    /// Makes the two hosts and the wire.
    ///
    /// # Errors
    /// Not root, or no veth driver.
    pub fn new() -> Result<Self> {
        let (server, outside) = (Netns::new()?, Netns::new()?);
        server.run(&format!(
            "ip link add {INTERFACE} type veth peer name {INTERFACE} netns {}",
            outside.path()
        ))?;
        let lab = Self { server, outside };
        for (netns, host) in [(&lab.server, 1), (&lab.outside, 2)] {
            netns.run(&format!("ip link set {INTERFACE} address 02:00:00:00:00:0{host} up"))?;
            netns.run(&format!("ip address add 192.0.2.{host}/24 dev {INTERFACE}"))?;
            netns.run(&format!("ip address add 2001:db8::{host}/64 dev {INTERFACE} nodad"))?;
        }
        // Replies to every test address go over the wire.
        lab.server.run(&format!("ip route add default via 192.0.2.2 dev {INTERFACE}"))?;
        lab.server.run(&format!("ip -6 route add default via 2001:db8::2 dev {INTERFACE}"))?;
        Ok(lab)
    }

    /// Gives the outside host another address.
    ///
    /// # Errors
    /// The host has the address already.
    pub fn address(&self, address: &str) -> Result<()> {
        let length = if address.contains(':') { 128 } else { 32 };
        let nodad = if address.contains(':') { " nodad" } else { "" };
        self.outside.run(&format!("ip address add {address}/{length} dev {INTERFACE}{nodad}")).map(drop)
    }

    /// Adds a second wire with this name for its interfaces; load on it doesn't affect the first one.
    ///
    /// # Errors
    /// There is an interface of this name.
    pub fn second_wire(&self, name: &str) -> Result<()> {
        let path = self.outside.path();
        self.server.run(&format!("ip link add {name} type veth peer name {name} netns {path}"))?;
        self.server.run(&format!("ip link set {name} address 02:00:00:00:00:01 up"))?;
        self.outside.run(&format!("ip link set {name} up")).map(drop)
    }

    /// Adds another server, 192.0.2.`host`, on its own wire with this name for its interfaces.
    ///
    /// # Errors
    /// There is an interface of this name.
    pub fn another_server(&self, name: &str, host: u8) -> Result<Netns> {
        let server = Netns::new()?;
        let path = self.outside.path();
        server.run(&format!("ip link add {name} type veth peer name {name} netns {path}"))?;
        // The destination MAC address of frames, the same as the first server's.
        server.run(&format!("ip link set {name} address 02:00:00:00:00:01 up"))?;
        server.run(&format!("ip address add 192.0.2.{host}/32 dev {name}"))?;
        server.run(&format!("ip route add default dev {name} via 192.0.2.2 onlink"))?;
        self.outside.run(&format!("ip link set {name} up"))?;
        self.outside.run(&format!("ip route add 192.0.2.{host}/32 dev {name}"))?;
        Ok(server)
    }

    /// The ids of the XDP programs on the server's end of the wire, as the kernel reports them.
    ///
    /// # Errors
    /// The interface doesn't exist any more.
    pub fn attached(&self) -> Result<Vec<u64>> {
        let links: serde_json::Value =
            serde_json::from_str(&self.server.run(&format!("ip -json -details link show dev {INTERFACE}"))?)?;
        let program = &links[0]["xdp"]["prog"]["id"];
        Ok(program.as_u64().into_iter().collect())
    }
}
