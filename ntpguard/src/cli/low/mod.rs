//! What clap fills: every option of every verb, with its help.

mod events;
mod guarding;
mod interfaces;
mod packets;
mod places;
mod policy;
mod readiness;
mod report;
mod run;
mod stats;
mod staying;
mod top;

pub use events::{Capture, Drawing, Events};
pub use guarding::Guarding;
pub use interfaces::{Interfaces, PLAIN};
pub use packets::{Bytes, Explain, REPEATS, Replay, hex};
pub use places::Places;
pub use policy::{Hardened, Limiting, Reading};
pub use readiness::{Check, Doctor};
pub use report::Report;
pub use run::{Attach, Run};
pub use stats::Stats;
pub use staying::{Detach, Enforce, Status};
pub use top::Top;

use clap::Subcommand;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Guard, and show what is dropped.
    ///
    /// Until SIGINT or SIGTERM; the filter stays, unless `--ephemeral` says otherwise.
    Run(Box<Run>),
    /// Guard, and leave the filter there without a process.
    Attach(Box<Attach>),
    /// Take the filter away.
    ///
    /// Where no interface is named, from the only one that is guarded; which one, is said.
    Detach(Detach),
    /// Read ntp.conf again, and put what it says in force.
    Reload(Places),
    /// End a trial (`--monitor`): drop what the policy refuses.
    Enforce(Enforce),
    /// Begin a trial: everything passes, and is counted.
    Monitor(Places),
    /// Say what is guarded, and by which policy.
    Status(Status),
    /// Show what was counted, by reason, interface, line and source.
    Stats(Stats),
    /// Show drops one by one: a sample of them.
    Events(Events),
    /// Watch in a terminal what is dropped, by which line, and who sends it.
    Top(Top),
    /// Write dropped packets to a file that Wireshark reads.
    Capture(Capture),
    /// Say whose addresses floods of queries came in the name of.
    ///
    /// For the networks that these victims are in.
    Report(Report),
    /// Read an ntp.conf as the daemon does, and say what it really does.
    Check(Check),
    /// Say what becomes of a packet, and which line is to blame.
    Explain(Box<Explain>),
    /// Say what would have been dropped of a capture.
    Replay(Replay),
    /// Put a card's features back when `run --ephemeral` has ended, which starts this itself.
    #[command(hide = true)]
    RestoreFeatures,
    /// Say whether this host is ready: daemon, kernel, interfaces.
    ///
    /// Where no interface is named, Ethernet interfaces are looked at that are hardware, or up with an address by which others
    /// reach them.
    Doctor(Doctor),
}
