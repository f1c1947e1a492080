//! What `run` and `attach` guard, and by which rules.

use super::{Hardened, Limiting, Reading};
use crate::{
    bpf::{Hook, Mode},
    host::duration::duration,
    policy::limiter_options::Kod,
};
use clap::Args;
use std::{path::PathBuf, time::Duration};

/// What is guarded, and by which rules.
#[derive(Args, Debug)]
#[command(next_help_heading = "What is guarded")]
pub struct Guarding {
    /// A network interface to guard; may be given more than once.
    ///
    /// Where none is named, neither here nor in the settings file, it is those that are guarded already, or the only one that
    /// makes sense: up, and with a default route or the only hardware. Which one that is, is said.
    #[arg(value_name = "IF", help_heading = None::<&'static str>)]
    pub plain: Vec<String>,

    /// An interface to guard, as an option.
    ///
    /// May be given more than once, and beside plain arguments.
    #[arg(long, short, value_name = "IF")]
    pub interface: Vec<String>,

    /// The daemon's configuration file.
    ///
    /// By default that of the daemon that runs here, or /etc/ntpsec/ntp.conf or /etc/ntp.conf, whichever exists.
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// How the file is read.
    #[command(flatten)]
    pub reading: Reading,

    /// Where the filter is attached.
    ///
    /// On the interface itself (xdp), or behind it (tc) where another program has XDP or the driver has none; tc takes Linux 6.6.
    #[arg(long, help_heading = "What is guarded", value_enum, default_value_t)]
    pub hook: Hook,

    /// Where the XDP program runs.
    ///
    /// In the driver (native), in the stack (generic), or the best that there is.
    #[arg(long, help_heading = "What is guarded", value_enum, value_name = "MODE", default_value_t)]
    pub xdp_mode: Mode,

    /// Take a foreign XDP program off the interface.
    #[arg(long, help_heading = "What is guarded", hide_short_help = true)]
    pub replace: bool,

    /// What is dropped beyond the daemon's reading.
    #[command(flatten)]
    pub hardened: Hardened,

    /// How much is too much.
    #[command(flatten)]
    pub limiting: Limiting,

    /// Count what would be dropped; everything passes.
    ///
    /// A trial, which `ntpguard enforce` ends.
    #[arg(long, help_heading = "What is dropped")]
    pub monitor: bool,

    /// Even if the file's own servers are cut off.
    #[arg(long, help_heading = "What is dropped")]
    pub yes: bool,

    /// A group that may see what is counted.
    ///
    /// By its name or number. It may use `ntpguard stats`, `top` and `events`, which also show who is dropped, and can do
    /// nothing else.
    #[arg(long, value_name = "GROUP", help_heading = "Where it stays")]
    pub group: Option<String>,

    /// How often names in the file are looked up.
    #[arg(long, help_heading = "How ntp.conf is read", hide_short_help = true, value_name = "TIME", default_value = "5m", value_parser = duration)]
    pub names_interval: Duration,
}

impl Guarding {
    /// Which of these options contradict each other.
    pub fn contradiction(&self) -> Option<&'static str> {
        let tc = self.hook == Hook::Tc;
        if tc && self.replace {
            Some("--hook tc stands beside other programs: there is nothing to --replace")
        } else if tc && self.xdp_mode != Mode::Auto {
            Some("--xdp-mode is XDP's, and with --hook tc there is none")
        } else if tc && self.limiting.kod == Kod::Xdp {
            Some("--hook tc can't send kisses: leave --kod to the daemon")
        } else {
            None
        }
    }
}
