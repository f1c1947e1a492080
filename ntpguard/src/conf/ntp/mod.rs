//! Reads ntp.conf as the daemon does, from text to an [`AccessList`]. Nothing is resolved here, and the only I/O is
//! reading the file and those it includes.
//!
//! Contract: a line that the daemon drops is dropped; of a line that it applies in part, that part is kept (the daemon
//! applies what stands before the first word it doesn't know, and starts); each such line leaves a
//! [diagnostic](crate::conf::diagnostic::Diagnostic). If the daemon may read something that ntpguard can't, the list is
//! marked [`field@AccessList::blind`], and nothing may be dropped on account of the rest.

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
        AccessLine, AccessList, Action, Passive, Target,
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

/// An ntp.conf, as far as it has been read.
struct ConfFile {
    /// The daemon for which it is read.
    daemon: Daemon,
    /// That daemon's command line, which is configuration, too.
    command: CommandLine,
    /// The access list so far.
    list: AccessList,
    /// Whether there was an `enable mode7`, which only 4.2.8 knows.
    mode7_on: bool,
    /// Whether there was a `disable mode7`, which wins wherever it stands: ntpd applies all of `disable` after all of
    /// `enable` (ntp_config.c:config_system_opts).
    mode7_off: bool,
    /// Whether there was a `trustedkey` line with a key.
    trusts_keys: bool,
    /// Whether commands end at `;` from here on instead of at line ends: a `simulate` block has begun and not ended.
    by_statement: bool,
    /// Bytes read so far, of [`file::MOST`].
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

    /// Finishes the list: derives what depends on the files as a whole.
    fn end(mut self) -> AccessList {
        // `-4` and `-6` on 4.2.6's command line override those of a line (ntp_config.c:get_multiple_netnums).
        self.list.family = self.command.family.filter(|_| self.daemon.dialect == Dialect::Ntp426);
        self.list.trusts_any_key = self.trusts_keys || !self.command.trusted_keys.is_empty();
        self.list.command_servers.clone_from(&self.command.servers);
        self.list.passive = self.passive();
        self.list.hears_broadcasts = self.hears_broadcasts();
        self.list.takes_mode_7 = match self.list.profile.mode_7 {
            Mode7::Always => true,
            Mode7::OnDemand => self.mode7_on && !self.mode7_off,
            Mode7::Never => false,
        };
        self.list.limits = self.limits();
        self.list
    }

    /// Which peers may mobilize associations. NTPsec has none of that kind (ntp_proto.c:receive).
    fn passive(&self) -> Passive {
        if self.daemon.is_ntpsec() {
            Passive::Never
        } else if self.list.auth_off.is_some() || self.command.is_auth_off() {
            Passive::Always
        } else if self.list.trusts_any_key {
            Passive::WithMac
        } else {
            Passive::Never
        }
    }

    /// Whether servers that broadcast may become associations. NTPsec takes no packets of mode 5.
    fn hears_broadcasts(&self) -> bool {
        let hears = |keyword: &str| matches!(keyword, "broadcastclient" | "multicastclient");
        let by_lines = || self.list.associations.iter().any(|line| hears(&line.keyword));
        !self.daemon.is_ntpsec() && (self.command.broadcasts || by_lines())
    }

    /// Whether it is certain that the daemon limits sources whose line says `limited`. `disable monitor` ends it unless
    /// an entry with that flag keeps the monitor list enabled (ntp_restrict.c:inc_res_limited), and the daemons
    /// miscount those entries: 4.2.6 when an entry is removed, NTPsec 1.2.2 for the built-in ones, which a line for
    /// `default` merges with.
    fn limits(&self) -> bool {
        let holds = |line: &AccessLine| {
            let counted = match line.target {
                Target::Address(_) => true,
                Target::Default => !self.daemon.is_ntpsec(),
                // A name has no entry before it is resolved, and `source` is a template.
                Target::Name(_) | Target::Source => false,
            };
            counted && line.flags.has(Flags::LIMITED)
        };
        let added = self.list.lines.iter().all(|line| line.action == Action::Add);
        self.list.monitor_off.is_none() || added && self.list.lines.iter().any(holds)
    }
}
