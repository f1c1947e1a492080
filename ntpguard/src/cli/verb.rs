//! What a verb is to do, in the rooms' own types: all that `cmd` sees of a command line.

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

/// A verb, with its options.
#[derive(Debug)]
pub enum Verb {
    /// Guard, and show the counters while it runs.
    Run(Box<Run>),
    /// Guard, and leave the filter attached without a process.
    Attach(Box<Attach>),
    /// Take the filter away.
    Detach(Detach),
    /// Read ntp.conf again.
    Reload(Reload),
    /// End a trial.
    Enforce(Enforce),
    /// Begin a trial.
    Monitor(Places),
    /// Show what is guarded, and whether the filter runs.
    Status(Status),
    /// Show the counters.
    Stats(Stats),
    /// Show drops one by one.
    Events(Events),
    /// Show the live view in a terminal.
    Top(Top),
    /// Write dropped packets to a file.
    Capture(Capture),
    /// Show which addresses the victims of floods have.
    Report(Report),
    /// Show what the daemon really does with an ntp.conf.
    Check(Check),
    /// Show what happens to a packet.
    Explain(Box<Explain>),
    /// Show what would have been dropped of a capture.
    Replay(Replay),
    /// Restore a card's features.
    RestoreFeatures,
    /// Check whether this host is ready.
    Doctor(Doctor),
}

/// Options of `run`.
#[derive(Debug)]
pub struct Run {
    /// What is guarded, and by which rules.
    pub guarding: Guarding,
    /// Where the filter is pinned and its state kept; `None` if it ends with the process.
    pub places: Option<Places>,
    /// Output format of the counters.
    pub format: Format,
    /// Time between two lines of counters.
    pub interval: Duration,
    /// Address on which Prometheus scrapes the metrics.
    pub metrics: Option<SocketAddr>,
    /// Maximum number of drops a second that become events.
    pub event_rate: u32,
    /// Log every packet.
    pub trace: bool,
    /// Give up rights and access to files after the start.
    pub sandbox: bool,
}

/// Options of `attach`.
#[derive(Debug)]
pub struct Attach {
    /// What is guarded, and by which rules.
    pub guarding: Guarding,
    /// Where the filter is pinned and its state kept.
    pub places: Places,
}

/// Options of `detach`.
#[derive(Debug)]
pub struct Detach {
    /// Interfaces from which the filter is taken off.
    pub interfaces: Vec<String>,
    /// Take it off every interface, and remove all other pins too.
    pub all: bool,
    /// Do so even while `ntpguard run` looks after the filter.
    pub force: bool,
    /// Where the filter is pinned and its state kept.
    pub places: Places,
}

/// Options of `reload`.
#[derive(Debug)]
pub struct Reload {
    /// Where the filter is pinned and its state kept.
    pub places: Places,
    /// The settings file, if another than the default is named. If the options by which the filter was made
    /// are unknown, they are taken from it.
    pub settings: Option<PathBuf>,
}

/// Options of `enforce`.
#[derive(Debug)]
pub struct Enforce {
    /// Return to the trial after this time.
    pub confirm: Option<Duration>,
    /// Where the filter is pinned and its state kept.
    pub places: Places,
}

/// Options of `status`.
#[derive(Debug)]
pub struct Status {
    /// Where the filter is pinned and its state kept.
    pub places: Places,
    /// Output format.
    pub format: Format,
}

/// Options of `stats`.
#[derive(Debug)]
pub struct Stats {
    /// Interfaces to show; all if empty.
    pub interfaces: Vec<String>,
    /// Repeat the output at this interval.
    pub watch: Option<Duration>,
    /// Also show drops by line of ntp.conf.
    pub rules: bool,
    /// Show this many of the sources that were limited and dropped most.
    pub sources: Option<usize>,
    /// Count from zero from now on.
    pub reset: bool,
    /// Show the totals since the filter was first attached.
    pub total: bool,
    /// Output format.
    pub format: Format,
    /// Where the filter is pinned and its state kept.
    pub places: Places,
}

/// Which events to take, and from where.
#[derive(Debug)]
pub struct Drawing {
    /// Filters, all of which must match.
    pub filter: Vec<Filter>,
    /// Maximum number of events a second, if this process is the one that reads them from the kernel.
    pub event_rate: u32,
    /// Where the filter is pinned and its state kept.
    pub places: Places,
}

/// Options of `events`.
#[derive(Debug)]
pub struct Events {
    /// Show events as they happen, not the last ones.
    pub follow: bool,
    /// Number of events to show.
    pub count: Option<u64>,
    /// Output format.
    pub format: Format,
    /// Which events to take, and from where.
    pub drawing: Drawing,
}

/// Options of `capture`.
#[derive(Debug)]
pub struct Capture {
    /// The file to write; `-` for standard output.
    pub file: PathBuf,
    /// Maximum number of packets; 0 for no limit.
    pub count: u64,
    /// Maximum number of bytes kept of each packet.
    pub snaplen: u32,
    /// Maximum size of the file in MiB; 0 for no limit.
    pub max_size: u64,
    /// Which events to take, and from where.
    pub drawing: Drawing,
}

/// Options of `top`.
#[derive(Debug)]
pub struct Top {
    /// Time between two updates.
    pub interval: Duration,
    /// Draw with ASCII characters only.
    pub ascii: bool,
    /// Where the filter is pinned and its state kept.
    pub places: Places,
}

/// Options of `report`.
#[derive(Debug)]
pub struct Report {
    /// How far to look back.
    pub since: Duration,
    /// How many networks to show.
    pub networks: usize,
    /// Output format.
    pub format: Format,
    /// Where the filter is pinned and its state kept.
    pub places: Places,
}

/// Options of `check`.
#[derive(Debug)]
pub struct Check {
    /// The daemon's configuration file, if one is named.
    pub file: Option<PathBuf>,
    /// How the file is read.
    pub reading: Choice,
    /// What is dropped beyond what the daemon itself would refuse.
    pub hardening: Hardening,
    /// Output format.
    pub format: Format,
    /// Treat warnings as failures.
    pub deny_warnings: bool,
}

/// Options of `explain`.
#[derive(Debug)]
pub struct Explain {
    /// The packets to explain.
    pub packet: Packet,
    /// How often each packet is sent, and at which interval, for `limited`.
    pub train: Train,
    /// What judges the packets.
    pub judge: Judge,
    /// The daemon's configuration file, if one is named.
    pub config: Option<PathBuf>,
    /// How the file is read.
    pub reading: Choice,
    /// What is dropped beyond what the daemon itself would refuse.
    pub hardening: Hardening,
    /// Addresses of the daemon's host; this host's if empty.
    pub local_addresses: Vec<IpAddr>,
    /// Addresses that the daemon has an association with, besides those that its configuration names.
    pub associated: Vec<IpAddr>,
    /// Output format.
    pub format: Format,
}

/// Packets to explain.
#[derive(Debug)]
pub enum Packet {
    /// One Ethernet frame.
    Frame(Vec<u8>),
    /// A UDP datagram to port 123, from an address and a port.
    Datagram(IpAddr, u16, Payload),
    /// All packets of a file with one JSON object a line.
    Vectors(PathBuf),
}

/// The payload of a datagram.
#[derive(Debug)]
pub enum Payload {
    /// These bytes.
    Bytes(Vec<u8>),
    /// The usual packet of a mode, with this opcode or request code if one is given.
    Usual(u8, Option<u8>),
}

/// What judges a packet.
#[derive(Debug)]
pub enum Judge {
    /// The filter that runs here, or the one that is pinned at a path.
    Running(Option<PathBuf>),
    /// A policy that is compiled for this purpose, run by an engine.
    Engine(EngineChoice),
}

/// Options of `replay`.
#[derive(Debug)]
pub struct Replay {
    /// The capture; `-` for standard input.
    pub capture: PathBuf,
    /// The daemon's configuration file, if one is named.
    pub config: Option<PathBuf>,
    /// How the file is read.
    pub reading: Choice,
    /// What is dropped beyond what the daemon itself would refuse.
    pub hardening: Hardening,
    /// Addresses of the daemon's host, if given.
    pub local_addresses: Vec<IpAddr>,
    /// How many sources to show.
    pub top: usize,
    /// Output format.
    pub format: Format,
}

/// Options of `doctor`.
#[derive(Debug)]
pub struct Doctor {
    /// Interfaces to check; if empty, those that are worth guarding.
    pub interfaces: Vec<String>,
    /// Where the filter is to be pinned.
    pub pin_path: PathBuf,
    /// Treat warnings as failures.
    pub deny_warnings: bool,
    /// Output format.
    pub format: Format,
}
