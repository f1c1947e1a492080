//! The options of the verbs that say what happens to packets: `explain` and `replay`.

use super::{Hardened, Reading};
use crate::{export::Format, host::duration::duration, simulate::EngineChoice};
use clap::{ArgGroup, Args};
use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

/// How often a packet may be sent: bounded so that an answer takes a second rather than an hour.
pub const REPEATS: RangeInclusive<u32> = 1..=1_000_000;

/// The options of `explain`.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("packet").required(true).args(["payload", "mode", "frame", "vectors"]))]
#[command(override_usage = "ntpguard explain [OPTIONS] --source <ADDR> --mode <N>\n       \
    ntpguard explain [OPTIONS] --source <ADDR> --payload <HEX>\n       \
    ntpguard explain [OPTIONS] --frame <HEX>\n       \
    ntpguard explain [OPTIONS] --vectors <FILE>")]
pub struct Explain {
    /// The daemon's configuration file.
    ///
    /// By default that of the daemon that runs here, or /etc/ntpsec/ntp.conf or /etc/ntp.conf, whichever exists.
    #[arg(
        long,
        short,
        help_heading = "How ntp.conf is read",
        value_name = "FILE",
        conflicts_with = "vectors"
    )]
    pub config: Option<PathBuf>,

    /// How the file is read.
    #[command(flatten)]
    pub reading: Reading,

    /// What is dropped beyond the daemon's reading.
    #[command(flatten)]
    pub hardened: Hardened,

    /// The packet's source address.
    #[arg(long, help_heading = "The packet", value_name = "ADDR", required_unless_present_any = ["frame", "vectors"])]
    pub source: Option<IpAddr>,

    /// Its UDP source port.
    #[arg(long, help_heading = "The packet", value_name = "N", default_value_t = 40_000)]
    pub source_port: u16,

    /// Its UDP payload.
    #[arg(long, help_heading = "The packet", value_name = "HEX", value_parser = hex)]
    pub payload: Option<Bytes>,

    /// A usual packet of this mode instead.
    ///
    /// 3 is a client's, 6 ntpq's readvar, 7 monlist.
    #[arg(long, help_heading = "The packet", value_name = "N", value_parser = clap::value_parser!(u8).range(0..8))]
    pub mode: Option<u8>,

    /// Of mode 6 the opcode, of mode 7 the request code.
    #[arg(long, help_heading = "The packet", value_name = "N", requires = "mode")]
    pub request: Option<u8>,

    /// A whole Ethernet frame instead.
    #[arg(long, help_heading = "The packet", value_name = "HEX", value_parser = hex, conflicts_with_all = ["source", "source_port"])]
    pub frame: Option<Bytes>,

    /// Many packets, one JSON object a line.
    ///
    /// Each has conf, src, sport and payload_hex. Names in the configurations aren't looked up.
    #[arg(long, help_heading = "The packet", value_name = "FILE")]
    pub vectors: Option<PathBuf>,

    /// Ask the ntpguard that runs here.
    ///
    /// With the policy that it has now. The packet is counted among its own.
    #[arg(long, help_heading = "Who is asked", conflicts_with_all = ["config", "vectors", "engine", "dialect", "ordering", "no_hardening", "queries", "harden", "local_address", "associated", "repeat", "every"])]
    pub running: bool,

    /// Where that one is pinned, if several run.
    #[arg(long, help_heading = "Who is asked", value_name = "DIR", requires = "running")]
    pub pin_path: Option<PathBuf>,

    /// Send the packet this many times.
    ///
    /// And say what becomes of the last one: for `limited`.
    #[arg(long, help_heading = "The packet", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(i64::from(*REPEATS.start())..=i64::from(*REPEATS.end())))]
    pub repeat: u32,

    /// The time between two of them.
    #[arg(long, help_heading = "The packet", value_name = "TIME", requires = "repeat", value_parser = duration)]
    pub every: Option<Duration>,

    /// An address of the daemon's host.
    ///
    /// May be given more than once. By default those of this host.
    #[arg(long, help_heading = "How ntp.conf is read", value_name = "ADDR")]
    pub local_address: Vec<IpAddr>,

    /// An address that the daemon has an association with.
    ///
    /// As ADDR or ADDR:PORT; may be given more than once. Those that ntp.conf and the daemon's command line name are
    /// associations without it. Others are known only while the daemon runs: `restrict source` is for them.
    #[arg(long, help_heading = "How ntp.conf is read", value_name = "ADDR", value_parser = associated)]
    pub associated: Vec<IpAddr>,

    /// Who judges.
    ///
    /// The program in the kernel, the same code on the host, or the first of them that can be had.
    #[arg(long, help_heading = "Who is asked", value_enum, default_value_t)]
    pub engine: EngineChoice,

    /// For people, or one JSON object.
    #[arg(long, help_heading = "Output", value_enum, default_value_t)]
    pub format: Format,
}

/// The options of `replay`.
#[derive(Args, Debug)]
pub struct Replay {
    /// A capture, pcap or pcapng; `-` for standard input.
    pub capture: PathBuf,

    /// The daemon's configuration file.
    ///
    /// By default that of the daemon that runs here, or /etc/ntpsec/ntp.conf or /etc/ntp.conf, whichever exists.
    #[arg(long, short, help_heading = "How ntp.conf is read", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// How the file is read.
    #[command(flatten)]
    pub reading: Reading,

    /// What is dropped beyond the daemon's reading.
    #[command(flatten)]
    pub hardened: Hardened,

    /// An address of the daemon's host.
    ///
    /// May be given more than once. By default those that the capture shows to answer, or this host's.
    #[arg(long, help_heading = "How ntp.conf is read", value_name = "ADDR")]
    pub local_address: Vec<IpAddr>,

    /// How many sources to show.
    #[arg(long, help_heading = "Output", value_name = "N", default_value_t = 10)]
    pub top: usize,

    /// For people, or one JSON object.
    #[arg(long, help_heading = "Output", value_enum, default_value_t)]
    pub format: Format,
}

/// Bytes given as hexadecimal digits.
#[derive(Clone, Debug)]
pub struct Bytes(pub Vec<u8>);

/// Parses an address, with or without a port. The port doesn't matter: an association's entry is for its address.
fn associated(text: &str) -> Result<IpAddr, String> {
    let without = || text.parse().ok();
    let with = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    without().or_else(with).ok_or_else(|| "it is no address, and no address with a port".to_owned())
}

/// Reads hexadecimal digits, in pairs, spaces and colons between them allowed.
pub fn hex(text: &str) -> Result<Bytes, String> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace() && *c != ':')
        .map(|c| {
            c.to_digit(16).map(|digit| digit as u8).ok_or_else(|| format!("`{c}` is no hexadecimal digit"))
        })
        .collect::<Result<_, _>>()?;
    if digits.len() % 2 == 1 {
        return Err("an odd number of hexadecimal digits".to_owned());
    }
    Ok(Bytes(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits() {
        assert_eq!(hex("17 00:03 2A").unwrap().0, [0x17, 0, 3, 0x2a]);
        assert!(hex("").unwrap().0.is_empty());
        assert!(hex("170").is_err() && hex("1g").is_err());
    }
}
