//! The command line: what the user types ([`low`], filled by clap, and the settings file), and what a verb is to do
//! ([`Verb`]), in the types of the rooms below. `turn` converts the former into the latter, and nothing else does.

pub mod low;
pub mod settings_file;
mod turn;
mod values;
mod verb;

pub(crate) use low::{Bytes, REPEATS, hex};
pub use verb::{
    Attach, Capture, Check, Detach, Doctor, Drawing, Enforce, Events, Explain, Judge, Packet, Payload,
    Reload, Replay, Report, Run, Stats, Status, Top, Verb,
};

use crate::bpf::Hook;
use clap::{CommandFactory as _, Parser, error::ErrorKind};

/// An XDP filter in front of an unmodified ntpd.
///
/// It drops NTP queries (mode 6 and 7, monlist), enforces the restrict lines of ntp.conf before a packet reaches the stack, and
/// counts every drop.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 80)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    typed: low::Verb,
}

impl Cli {
    /// The verb with its options. Refuses what clap can't detect: options whose values contradict each other.
    ///
    /// # Errors
    /// Two options contradict each other.
    pub fn verb(self) -> Result<Verb, clap::Error> {
        let contradiction = match &self.typed {
            low::Verb::Run(run) if run.trace && run.guarding.hook == Hook::Tc => Some(
                "--trace is the XDP program's, and --hook tc has none: `explain --running` tells of one packet",
            ),
            low::Verb::Run(run) => run.guarding.contradiction(),
            low::Verb::Attach(attach) => attach.guarding.contradiction(),
            _ => None,
        };
        match contradiction {
            Some(words) => Err(Self::command().error(ErrorKind::ArgumentConflict, words)),
            None => Ok(self.typed.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
