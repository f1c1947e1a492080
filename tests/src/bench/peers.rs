//! Filters that others put in front of a daemon: xdp-filter, nftables and iptables as Debian ships them, unpacked but not
//! installed. Each runs in a lab of its own, with the same rule as far as it can express it.

use super::policy;
use crate::{
    bpf::{Bare, spread},
    client::Wire,
    frame::{Frame, payload},
    netns::{INTERFACE, Lab, Netns},
    ntpd::installed,
};
use anyhow::{Context as _, Result, bail, ensure};
use ntpguard::bpf::{Guard, Mode};
use std::{
    io::{ErrorKind, Write as _},
    net::{Ipv4Addr, UdpSocket},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

/// The filter in front of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// No filter.
    None,
    /// A bare XDP_DROP, behind which nobody reaches the daemon.
    Drop,
    /// A bare XDP_PASS: no filter, but a wire with an XDP program.
    Pass,
    /// ntpguard with 1,000 rules.
    Ntpguard,
    /// xdp-filter, which can match ports and addresses; here port 123 is closed.
    XdpFilterPort,
    /// xdp-filter with port 123 closed and 100 addresses.
    XdpFilter,
    /// xdp-filter that passes only the client.
    XdpFilterClients,
    /// nftables in the netdev ingress hook, before everything else in the stack.
    NftIngress,
    /// nftables at the hook and priority of iptables' raw table.
    NftRaw,
    /// iptables-legacy, which matches a word of the payload (u32).
    Iptables,
}

/// Number of addresses that [`Filter::XdpFilter`] refuses.
pub const REFUSED: u32 = 100;
/// The client that [`Filter::XdpFilterClients`] passes: the lab's outside host.
pub const CLIENT: &str = "192.0.2.2";

impl Filter {
    /// The filter's name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "no filter",
            Self::Drop => "bare XDP_DROP",
            Self::Pass => "bare XDP_PASS",
            Self::Ntpguard => "ntpguard, 1,000 rules",
            Self::XdpFilterPort => "xdp-filter, port 123 closed",
            Self::XdpFilter => "xdp-filter, port 123 closed, 100 addresses",
            Self::XdpFilterClients => "xdp-filter, a list of clients",
            Self::NftIngress => "nftables, netdev ingress",
            Self::NftRaw => "nftables, prerouting raw",
            Self::Iptables => "iptables-legacy, u32",
        }
    }

    /// Whether time requests of the client pass.
    const fn serves(self) -> bool {
        !matches!(self, Self::Drop | Self::XdpFilterPort | Self::XdpFilter)
    }

    /// Whether it is an XDP program.
    const fn is_xdp(self) -> bool {
        !matches!(self, Self::None | Self::NftIngress | Self::NftRaw | Self::Iptables)
    }
}

/// A lab with a filter on the server's end of the wire.
pub struct Guarded {
    /// The filter.
    pub filter: Filter,
    /// The two hosts.
    pub lab: Lab,
    /// The filter's program, if this process has loaded it.
    _program: Program,
}

/// A program that stays attached as long as this value lives.
enum Program {
    Bare { _attached: Bare },
    Guard { _attached: Box<Guard> },
    Elsewhere,
}

impl Program {
    /// Attaches the filter's program to an interface.
    fn attach(filter: Filter, interface: &str) -> Result<Self> {
        let mut bare = match filter {
            Filter::Drop => Bare::dropping()?,
            Filter::Pass => Bare::passing()?,
            Filter::Ntpguard => {
                let mut guard = Box::new(policy::guard(1000)?);
                guard.attach(interface, Mode::Native)?;
                return Ok(Self::Guard { _attached: guard });
            }
            Filter::None
            | Filter::XdpFilterPort
            | Filter::XdpFilter
            | Filter::XdpFilterClients
            | Filter::NftIngress
            | Filter::NftRaw
            | Filter::Iptables => return Ok(Self::Elsewhere),
        };
        bare.attach(interface)?;
        Ok(Self::Bare { _attached: bare })
    }
}

impl Guarded {
    /// Sets the filter up and checks that it does what it should: sends monlist and time requests, and counts what arrives.
    ///
    /// # Errors
    /// The filter isn't installed, this kernel lacks what it needs, or it passes what it shouldn't.
    pub fn new(filter: Filter) -> Result<Self> {
        let lab = Lab::new()?;
        // Static neighbour entries, since a filter may not pass ARP.
        lab.server.run(&format!("ip neighbour replace {CLIENT} lladdr 02:00:00:00:00:02 dev {INTERFACE}"))?;
        lab.outside
            .run(&format!("ip neighbour replace 192.0.2.1 lladdr 02:00:00:00:00:01 dev {INTERFACE}"))?;
        if !filter.is_xdp() {
            // A veth receives frames from XDP only while it polls (GRO).
            lab.server.run(&format!("ethtool --features {INTERFACE} gro on"))?;
        }
        let program = lab.server.enter(|| Program::attach(filter, INTERFACE))?;
        let guarded = Self { filter, lab, _program: program };
        guarded.set_up().with_context(|| filter.name())?;
        guarded.prove().with_context(|| filter.name())?;
        Ok(guarded)
    }

    fn set_up(&self) -> Result<()> {
        let server = &self.lab.server;
        match self.filter {
            Filter::None | Filter::Drop | Filter::Pass | Filter::Ntpguard => Ok(()),
            Filter::XdpFilterPort => {
                let load = ["load", "--mode", "native", "--features", "udp", INTERFACE];
                xdp_filter(server, &load)?;
                xdp_filter(server, &["port", "123", "--mode", "dst", "--proto", "udp"])
            }
            Filter::XdpFilter => {
                xdp_filter(server, &["load", "--mode", "native", "--features", "udp,ipv4", INTERFACE])?;
                xdp_filter(server, &["port", "123", "--mode", "dst", "--proto", "udp"])?;
                (0..REFUSED).try_for_each(|number| {
                    let address = Ipv4Addr::from_bits(spread::address(number)).to_string();
                    xdp_filter(server, &["ip", &address, "--mode", "src"])
                })
            }
            Filter::XdpFilterClients => {
                let load =
                    ["load", "--mode", "native", "--policy", "deny", "--features", "ipv4,ipv6", INTERFACE];
                xdp_filter(server, &load)?;
                xdp_filter(server, &["ip", CLIENT, "--mode", "src"])
            }
            Filter::NftIngress => nft(server, "netdev", &format!("ingress device {INTERFACE} priority 0")),
            Filter::NftRaw => nft(server, "ip", "prerouting priority raw"),
            Filter::Iptables => {
                let mut command = peer(server, "xtables-legacy-multi")?;
                // Skips the IPv4 header and the UDP header, then compares the low bits of the first byte: mode 6 or 7.
                command.args(["iptables", "-t", "raw", "-A", "PREROUTING", "-i", INTERFACE]);
                command.args(["-p", "udp", "--dport", "123"]);
                command.args(["-m", "u32", "--u32", "0>>22&0x3C@8>>24&0x7=6:7", "-j", "DROP"]);
                done(&mut command)
            }
        }
    }

    /// Sends monlist and time requests, and counts what a socket on port 123 receives.
    fn prove(&self) -> Result<()> {
        const EACH: usize = 20;
        let socket = self.lab.server.enter(|| UdpSocket::bind("0.0.0.0:123"))?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let wire = Wire::open(&self.lab.outside)?;
        for _ in 0..EACH {
            wire.send(&Frame::from("192.0.2.66", 40000).payload(payload::MONLIST).build())?;
            wire.send(&Frame::from(CLIENT, 40000).payload(&payload::time(3, 4)).build())?;
        }
        let (mut queries, mut requests, mut bytes) = (0, 0, [0; 512]);
        loop {
            match socket.recv(&mut bytes) {
                Ok(_) if bytes[0] & 7 == 7 => queries += 1,
                Ok(_) => requests += 1,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        let queries_wanted = if matches!(self.filter, Filter::None | Filter::Pass) { EACH } else { 0 };
        let requests_wanted = if self.filter.serves() { EACH } else { 0 };
        ensure!(
            (queries, requests) == (queries_wanted, requests_wanted),
            "it lets {queries} of {EACH} queries and {requests} of {EACH} time requests through"
        );
        Ok(())
    }
}

/// A chain at a hook with two rules on the payload: for mode 6, and for mode 7. They match only one interface, since the
/// daemon is also queried over the loopback.
fn nft(netns: &Netns, family: &str, hook: &str) -> Result<()> {
    let rules = format!(
        "table {family} guard {{\nchain in {{\ntype filter hook {hook};\n\
         iif {INTERFACE} udp dport 123 @th,69,3 6 drop\niif {INTERFACE} udp dport 123 @th,69,3 7 drop\n}}\n}}\n"
    );
    let mut child = peer(netns, "nft")?.args(["-f", "-"]).stdin(Stdio::piped()).spawn()?;
    child.stdin.take().context("a pipe")?.write_all(rules.as_bytes())?;
    let status = child.wait()?;
    ensure!(status.success(), "nft refuses the rules: {status}");
    Ok(())
}

fn xdp_filter(netns: &Netns, arguments: &[&str]) -> Result<()> {
    // xdp-filter keeps its maps there. The mount is visible only to this host's commands, and ends with the host.
    if arguments[0] == "load" {
        netns.run("mount -t bpf bpf /sys/fs/bpf")?;
    }
    done(peer(netns, "xdp-filter")?.args(arguments))
}

/// A command that runs a program unpacked by `cargo xtask setup`, with its libraries.
fn peer(netns: &Netns, program: &str) -> Result<Command> {
    let root = installed("peers/usr")?.canonicalize()?;
    let libraries = root.join("lib").join(format!("{}-linux-gnu", std::env::consts::ARCH));
    let inside = |folder: &str| libraries.join(folder);
    let path = root.join("sbin").join(program);
    ensure!(Path::new(&path).exists(), "{program} isn't unpacked");
    let mut command = netns.command(path);
    command.env("LD_LIBRARY_PATH", &libraries).env("XTABLES_LIBDIR", inside("xtables"));
    command.env("LIBXDP_OBJECT_PATH", inside("bpf"));
    Ok(command)
}

fn done(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("can't run {command:?}"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("{command:?}: {}", String::from_utf8_lossy(&said).trim());
    }
    Ok(())
}
