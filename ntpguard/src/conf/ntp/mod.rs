//! ntp.conf, read as the daemon reads it: text to [`AccessList`]. Nothing is resolved here, and the only I/O is the
//! reading of the file and of those it includes.
//!
//! Contract: a line that the daemon drops is dropped, the part that it keeps is kept (it applies what stands before
//! the first word it doesn't know, and starts), and each such line leaves a [`Diagnostic`]. What the daemon reads and
//! ntpguard can't is marked [`field@AccessList::blind`]: nothing may be dropped on account of the rest then.

mod commands;
mod dispatch;
mod edit;
mod file;
mod flags;
mod foreign;
mod intent;
mod keywords;
mod lexer;
mod limiter;
mod limits;
mod line;
mod restrict;
mod simulate;
mod target;
#[cfg(test)]
mod tests;

pub(crate) use edit::is_one_edit;
pub(crate) use file::MOST;
pub use file::{folder_beside, parse, read, read_noting};

use crate::{
    conf::{
        AccessLine, AccessList, Action, Target,
        place::{Place, Span},
    },
    daemon::{
        CommandLine,
        dialect::{Daemon, Dialect},
        family::Family,
        flags::Flags,
        profile::Mode7,
    },
};

/// An ntp.conf as far as it has been read.
struct ConfFile {
    /// The daemon that it is read for.
    daemon: Daemon,
    /// That daemon's command line, which is configuration, too.
    command: CommandLine,
    /// What it says of access.
    list: AccessList,
    /// `enable mode7`, of which only 4.2.8 knows.
    mode7_on: bool,
    /// `disable mode7`, which wins wherever it stands: all of `disable` is applied after all of `enable`
    /// (ntp_config.c:config_system_opts).
    mode7_off: bool,
    /// A `trustedkey` line.
    trusts_keys: bool,
    /// Commands end at `;` from here on, and not with their lines: a `simulate` block has begun and not ended.
    by_statement: bool,
    /// How much of [`file::MOST`] has been read.
    taken: u64,
}

impl ConfFile {
    fn new(daemon: Daemon, command: CommandLine) -> Self {
        let list = AccessList {
            unresolved: intent::hints::unresolved,
            ..AccessList::new(daemon.profile(), limiter::default_of(daemon))
        };
        Self {
            daemon,
            command,
            list,
            mode7_on: false,
            mode7_off: false,
            trusts_keys: false,
            by_statement: false,
            taken: 0,
        }
    }

    /// What all of it comes to.
    fn end(mut self) -> AccessList {
        // `-4` and `-6` on 4.2.6's command line stand above a line's (ntp_config.c:get_multiple_netnums).
        self.list.family = self.command.family.filter(|_| self.daemon.dialect == Dialect::Ntp426);
        self.list.trusts_any_key = self.trusts_keys || !self.command.trusted_keys.is_empty();
        self.list.may_associate = self.may_associate();
        self.list.takes_mode_7 = match self.list.profile.mode_7 {
            Mode7::Always => true,
            Mode7::OnDemand => self.mode7_on && !self.mode7_off,
            Mode7::Never => false,
        };
        self.list.limits = self.limits();
        self.list
    }

    /// Whether associations may come to be: those of lines and of the command line, and where keys are trusted or none
    /// is needed those that others set up.
    fn may_associate(&self) -> bool {
        let by_lines = !self.list.associations.is_empty() || self.list.auth_off.is_some() || self.trusts_keys;
        by_lines || self.command.may_associate()
    }

    /// Whether the daemon limits those whose line says `limited`, for certain. `disable monitor` ends it unless an entry
    /// with that flag holds the monitor list open (ntp_restrict.c:inc_res_limited), and the count of those goes wrong:
    /// in 4.2.6 when an entry goes, in NTPsec 1.2.2 for the built-in ones, which a line for `default` merges with.
    fn limits(&self) -> bool {
        let holds = |line: &AccessLine| {
            let counted = match line.target {
                Target::Address(_) => true,
                Target::Default => !self.daemon.is_ntpsec(),
                // Not before it is resolved; a template.
                Target::Name(_) | Target::Source => false,
            };
            counted && line.flags.has(Flags::LIMITED)
        };
        let added = self.list.lines.iter().all(|line| line.action == Action::Add);
        self.list.monitor_off.is_none() || added && self.list.lines.iter().any(holds)
    }
}
