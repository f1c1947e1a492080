//! The options of the verbs that say what becomes of packets.

use super::{Format, Hardened, Reading, duration};
use clap::{ArgGroup, Args, ValueEnum};
use std::{net::IpAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

/// How many times a packet may be sent, so that an answer takes a second and not an hour.
pub const REPEATS: RangeInclusive<u32> = 1..=1_000_000;

/// The options of `explain`.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("packet").required(true).args(["payload", "mode", "frame", "vectors"]))]
pub struct Explain {
    /// The daemon's configuration [default: /etc/ntpsec/ntp.conf or /etc/ntp.conf, whichever exists].
    #[arg(long, value_name = "FILE", conflicts_with = "vectors")]
    pub config: Option<PathBuf>,

    /// How the file is read.
    #[command(flatten)]
    pub reading: Reading,

    /// What is dropped beyond the daemon's reading.
    #[command(flatten)]
    pub hardened: Hardened,

    /// The packet's source address.
    #[arg(long, value_name = "ADDR", required_unless_present_any = ["frame", "vectors"])]
    pub source: Option<IpAddr>,

    /// Its UDP source port.
    #[arg(long, value_name = "N", default_value_t = 40_000)]
    pub source_port: u16,

    /// Its UDP payload.
    #[arg(long, value_name = "HEX", value_parser = hex)]
    pub payload: Option<Bytes>,

    /// A usual packet of this mode instead: 3 a client, 6 ntpq's readvar, 7 monlist.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..8))]
    pub mode: Option<u8>,

    /// Of mode 6 the opcode, of mode 7 the request code.
    #[arg(long, value_name = "N", requires = "mode")]
    pub request: Option<u8>,

    /// A whole Ethernet frame instead.
    #[arg(long, value_name = "HEX", value_parser = hex, conflicts_with_all = ["source", "source_port"])]
    pub frame: Option<Bytes>,

    /// Many packets, one JSON object a line: conf, src, sport, payload_hex. Names in them are not looked up.
    #[arg(long, value_name = "FILE")]
    pub vectors: Option<PathBuf>,

    /// Ask the ntpguard that runs here instead, with the policy that it has now. The packet is counted among its own.
    #[arg(long, conflicts_with_all = ["config", "vectors", "engine", "dialect", "ordering", "no_hardening", "queries", "harden", "local_address", "repeat", "every"])]
    pub running: bool,

    /// Where that one is pinned, if several run here.
    #[arg(long, value_name = "DIR", requires = "running")]
    pub pin_path: Option<PathBuf>,

    /// Send the packet so many times, and say what becomes of the last one: for `limited`.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(i64::from(*REPEATS.start())..=i64::from(*REPEATS.end())))]
    pub repeat: u32,

    /// The time between two of them.
    #[arg(long, value_name = "TIME", requires = "repeat", value_parser = duration)]
    pub every: Option<Duration>,

    /// An address of the daemon's host; may be given more than once [default: those of this host].
    #[arg(long, value_name = "ADDR")]
    pub local_address: Vec<IpAddr>,

    /// Who is asked: the program in the kernel, the same code on the host, or the first that can be.
    #[arg(long, value_enum, default_value_t)]
    pub engine: EngineChoice,

    /// For people, or one JSON object.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Who judges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum EngineChoice {
    /// The kernel if it may be, else the host.
    #[default]
    Auto,
    /// The XDP program, by BPF_PROG_TEST_RUN.
    Kernel,
    /// The same code, compiled for the host.
    Host,
}

/// The options of `replay`.
#[derive(Args, Debug)]
pub struct Replay {
    /// A capture: pcap or pcapng; `-` for standard input.
    pub capture: PathBuf,

    /// The daemon's configuration [default: /etc/ntpsec/ntp.conf or /etc/ntp.conf, whichever exists].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// How the file is read.
    #[command(flatten)]
    pub reading: Reading,

    /// What is dropped beyond the daemon's reading.
    #[command(flatten)]
    pub hardened: Hardened,

    /// An address of the daemon's host; may be given more than once [default: those that the capture shows to answer, or
    /// this host's].
    #[arg(long, value_name = "ADDR")]
    pub local_address: Vec<IpAddr>,

    /// How many sources to show.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub top: usize,

    /// For people, or one JSON object.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Bytes given as hexadecimal digits.
#[derive(Clone, Debug)]
pub struct Bytes(pub Vec<u8>);

/// Reads hexadecimal digits, in pairs, spaces and colons between them allowed.
pub(crate) fn hex(text: &str) -> Result<Bytes, String> {
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
