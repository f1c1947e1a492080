//! What a verb is to do, in the rooms' own types: all that `cmd` gets to see of a command line.

use crate::{
    daemon::choice::Choice,
    export::Format,
    guard::options::{Guarding, Places},
    observe::event_filter::Filter,
    policy::hardening::Hardening,
    simulate::{EngineChoice, Train},
};
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// Which verb, and what it is to do.
#[derive(Debug)]
pub enum Verb {
    /// Guard, and show what is dropped.
    Run(Box<Run>),
    /// Guard, and leave the filter there without a process.
    Attach(Box<Attach>),
    /// Take the filter away.
    Detach(Detach),
    /// Read ntp.conf again.
    Reload(Reload),
    /// End a trial.
    Enforce(Enforce),
    /// Begin a trial.
    Monitor(Places),
    /// Say what is guarded.
    Status(Status),
    /// Show what was counted.
    Stats(Stats),
    /// Show drops one by one.
    Events(Events),
    /// Watch in a terminal.
    Top(Top),
    /// Write dropped packets to a file.
    Capture(Capture),
    /// Say whose addresses floods came in the name of.
    Report(Report),
    /// Say what the daemon really does with an ntp.conf.
    Check(Check),
    /// Say what becomes of a packet.
    Explain(Box<Explain>),
    /// Say what would have been dropped of a capture.
    Replay(Replay),
    /// Put a card's features back.
    RestoreFeatures,
    /// Say whether this host is ready.
    Doctor(Doctor),
}

/// `run`.
#[derive(Debug)]
pub struct Run {
    /// What is guarded, and by which rules.
    pub guarding: Guarding,
    /// Where the filter stays; `None` if it goes with the process.
    pub places: Option<Places>,
    /// How the counters are shown.
    pub format: Format,
    /// Time between two lines.
    pub interval: Duration,
    /// Where Prometheus reads them.
    pub metrics: Option<SocketAddr>,
    /// Drops a second that become events, at most.
    pub event_rate: u32,
    /// Every packet is logged.
    pub trace: bool,
    /// Rights and files are given up after the start.
    pub sandbox: bool,
}

/// `attach`.
#[derive(Debug)]
pub struct Attach {
    /// What is guarded, and by which rules.
    pub guarding: Guarding,
    /// Where the filter stays.
    pub places: Places,
}

/// `detach`.
#[derive(Debug)]
pub struct Detach {
    /// What is given up.
    pub interfaces: Vec<String>,
    /// Every interface, and what is pinned beside.
    pub all: bool,
    /// Even while `ntpguard run` looks after the filter.
    pub force: bool,
    /// Where the filter is.
    pub places: Places,
}

/// `reload`.
#[derive(Debug)]
pub struct Reload {
    /// Where the filter is.
    pub places: Places,
    /// The settings file, if another one is named: where nobody knows any more by which options the filter was made, they
    /// are taken from there.
    pub settings: Option<PathBuf>,
}

/// `enforce`.
#[derive(Debug)]
pub struct Enforce {
    /// Go back to the trial after this time.
    pub confirm: Option<Duration>,
    /// Where the filter is.
    pub places: Places,
}

/// `status`.
#[derive(Debug)]
pub struct Status {
    /// Where the filter is.
    pub places: Places,
    /// How it is said.
    pub format: Format,
}

/// `stats`.
#[derive(Debug)]
pub struct Stats {
    /// What is shown; everything if there is none.
    pub interfaces: Vec<String>,
    /// Again and again, this long apart.
    pub watch: Option<Duration>,
    /// Drops by line, too.
    pub rules: bool,
    /// So many of the sources limited and dropped most.
    pub sources: Option<usize>,
    /// Count from zero from now on.
    pub reset: bool,
    /// Count since the filter was attached first.
    pub total: bool,
    /// How it is shown.
    pub format: Format,
    /// Where the filter is.
    pub places: Places,
}

/// Which events, and from where.
#[derive(Debug)]
pub struct Drawing {
    /// All of these must hold.
    pub filter: Vec<Filter>,
    /// Events a second, at most, where this process draws them.
    pub event_rate: u32,
    /// Where the filter is.
    pub places: Places,
}

/// `events`.
#[derive(Debug)]
pub struct Events {
    /// Those to come, and not the last ones.
    pub follow: bool,
    /// So many, and no more.
    pub count: Option<u64>,
    /// How they are shown.
    pub format: Format,
    /// Which, and from where.
    pub drawing: Drawing,
}

/// `capture`.
#[derive(Debug)]
pub struct Capture {
    /// The file to write; `-` for standard output.
    pub file: PathBuf,
    /// So many packets; 0 for no limit.
    pub count: u64,
    /// So many bytes of each.
    pub snaplen: u32,
    /// So many MiB; 0 for no limit.
    pub max_size: u64,
    /// Which, and from where.
    pub drawing: Drawing,
}

/// `top`.
#[derive(Debug)]
pub struct Top {
    /// Time between two readings.
    pub interval: Duration,
    /// Draw with ASCII alone.
    pub ascii: bool,
    /// Where the filter is.
    pub places: Places,
}

/// `report`.
#[derive(Debug)]
pub struct Report {
    /// How far to look back.
    pub since: Duration,
    /// So many networks.
    pub networks: usize,
    /// How it is shown.
    pub format: Format,
    /// Where the filter is.
    pub places: Places,
}

/// `check`.
#[derive(Debug)]
pub struct Check {
    /// The daemon's configuration file, if it is named.
    pub file: Option<PathBuf>,
    /// How it is read.
    pub reading: Choice,
    /// What is dropped beyond the daemon's reading.
    pub hardening: Hardening,
    /// How it is said.
    pub format: Format,
    /// Warnings are failures, too.
    pub deny_warnings: bool,
}

/// `explain`.
#[derive(Debug)]
pub struct Explain {
    /// Which packets.
    pub packet: Packet,
    /// How many times each is sent, for `limited`.
    pub train: Train,
    /// Who is asked.
    pub judge: Judge,
    /// The daemon's configuration file, if it is named.
    pub config: Option<PathBuf>,
    /// How it is read.
    pub reading: Choice,
    /// What is dropped beyond the daemon's reading.
    pub hardening: Hardening,
    /// Addresses of the daemon's host; this host's if there are none.
    pub local_addresses: Vec<IpAddr>,
    /// How it is said.
    pub format: Format,
}

/// Packets to explain.
#[derive(Debug)]
pub enum Packet {
    /// An Ethernet frame.
    Frame(Vec<u8>),
    /// A UDP datagram to port 123, from an address and a port.
    Datagram(IpAddr, u16, Payload),
    /// Those of a file, one JSON object a line.
    Vectors(PathBuf),
}

/// What a datagram carries.
#[derive(Debug)]
pub enum Payload {
    /// These bytes.
    Bytes(Vec<u8>),
    /// What is usual for a mode, with an opcode or request code if one is named.
    Usual(u8, Option<u8>),
}

/// Who says what becomes of a packet.
#[derive(Debug)]
pub enum Judge {
    /// The ntpguard that runs here, or that one that is pinned at a place.
    Running(Option<PathBuf>),
    /// A policy made for it.
    Engine(EngineChoice),
}

/// `replay`.
#[derive(Debug)]
pub struct Replay {
    /// The capture; `-` for standard input.
    pub capture: PathBuf,
    /// The daemon's configuration file, if it is named.
    pub config: Option<PathBuf>,
    /// How it is read.
    pub reading: Choice,
    /// What is dropped beyond the daemon's reading.
    pub hardening: Hardening,
    /// Addresses of the daemon's host, if they are named.
    pub local_addresses: Vec<IpAddr>,
    /// How many sources to show.
    pub top: usize,
    /// How it is shown.
    pub format: Format,
}

/// `doctor`.
#[derive(Debug)]
pub struct Doctor {
    /// What is looked at, if that is named.
    pub interfaces: Vec<String>,
    /// Where the filter is to be pinned.
    pub pin_path: PathBuf,
    /// Warnings are failures, too.
    pub deny_warnings: bool,
    /// How it is said.
    pub format: Format,
}
