//! ntp.conf, read as the daemon reads it: text to [`ConfFile`]. Nothing is resolved here, and the only I/O is the
//! reading of the file and of those it includes.
//!
//! Contract: a line that the daemon drops is dropped, the part that it keeps is kept (it applies what stands before
//! the first word it doesn't know, and starts), and each such line leaves a [`Diagnostic`]. What the daemon reads and
//! ntpguard can't is marked [`field@ConfFile::blind`]: nothing may be dropped on account of the rest then.

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
mod restriction;
mod simulate;
mod target;
#[cfg(test)]
mod tests;

pub(crate) use edit::is_one_edit;
pub(crate) use file::MOST;
pub use file::{folder_beside, parse, read};
pub use limiter::{Limiter, MEMORY};
pub use restriction::{Action, Restrict};
pub use target::Target;

pub use crate::{
    conf::place::{Place, Span},
    daemon::{family::Family, flags::Flags},
};

use crate::{
    conf::diagnostic::{Code, Diagnostic},
    daemon::{
        CommandLine,
        dialect::{Daemon, Dialect},
    },
    host::file_changes::Fingerprint,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    path::PathBuf,
};

/// A file as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path.
    pub path: PathBuf,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// A line that sets up associations: `server`, `pool`, `peer`, and those for broadcast and manycast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Association {
    /// The word that the line begins with.
    pub keyword: String,
    /// The host, as written; `None` for lines that have none (`broadcastclient`).
    pub host: Option<String>,
    /// Its packets carry a MAC or NTS: the line says `key`, `autokey` or `nts`.
    pub authenticated: bool,
    /// Where it stands.
    pub place: Place,
}

/// A configuration: one file and those it includes, in reading order.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfFile {
    /// The daemon that it was read for.
    pub daemon: Daemon,
    /// That daemon's command line, which is configuration, too.
    pub command: CommandLine,
    /// The files, the first one first. Empty when there is none: the daemon's built-in defaults.
    pub files: Vec<File>,
    /// Every file and folder that was looked for, whether it is there or not, as it was before it was read.
    pub sought: Fingerprint,
    /// The `restrict` lines and those that undo them.
    pub restricts: Vec<Restrict>,
    /// Masks that 4.2.6 looks up as names of hosts, by the place of their lines in [`ConfFile::restricts`].
    pub mask_names: BTreeMap<u32, Box<str>>,
    /// The lines that set up associations.
    pub associations: Vec<Association>,
    /// `enable mode7`, of which only 4.2.8 knows.
    pub mode7_on: bool,
    /// `disable mode7`, which wins wherever it stands: all of `disable` is applied after all of `enable`
    /// (ntp_config.c:config_system_opts).
    pub mode7_off: bool,
    /// `disable monitor`.
    pub monitor_off: Option<Place>,
    /// `disable auth`.
    pub auth_off: Option<Place>,
    /// A `trustedkey` line: without one, no MAC is ever right, whatever keys there are.
    pub trusts_keys: bool,
    /// The rate limiter's parameters.
    pub limiter: Limiter,
    /// What an administrator should know.
    pub diagnostics: Vec<Diagnostic>,
    /// Some lines that the daemon may read are not in here: nothing may be dropped on account of the others.
    pub blind: bool,
    /// Commands end at `;` from here on, and not with their lines: a `simulate` block has begun and not ended.
    by_statement: bool,
    /// How much of [`file::MOST`] has been read.
    taken: u64,
}

impl ConfFile {
    /// The names in its restrict lines.
    pub fn restricted(&self) -> impl Iterator<Item = &str> {
        let targets = self.restricts.iter().filter_map(|restrict| match &restrict.target {
            Target::Name(name) => Some(&**name),
            _ => None,
        });
        targets.chain(self.mask_names.values().map(|name| &**name))
    }

    /// The names in its lines that are to be looked up, each once.
    pub fn names(&self) -> Vec<String> {
        let hosts = self.associations.iter().filter_map(|association| association.host.as_deref());
        let hosts = hosts.filter(|host| host.parse::<IpAddr>().is_err());
        let names: BTreeSet<&str> = self.restricted().chain(hosts).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    /// The absence of a file, which leaves the daemon at its built-in defaults.
    pub fn new(daemon: Daemon) -> Self {
        Self {
            daemon,
            command: CommandLine::default(),
            files: Vec::new(),
            sought: Fingerprint::default(),
            restricts: Vec::new(),
            mask_names: BTreeMap::new(),
            associations: Vec::new(),
            mode7_on: false,
            mode7_off: false,
            monitor_off: None,
            auth_off: None,
            trusts_keys: false,
            limiter: Limiter::default_of(daemon),
            diagnostics: Vec::new(),
            blind: false,
            by_statement: false,
            taken: 0,
        }
    }

    /// Whether any key is trusted, by a line or on the command line: without one, no MAC is ever right.
    pub fn trusts_any_key(&self) -> bool {
        self.trusts_keys || !self.command.trusted_keys.is_empty()
    }

    /// Whether associations may come to be: those of lines and of the command line, and where keys are trusted or none
    /// is needed those that others set up.
    pub fn may_associate(&self) -> bool {
        let by_lines = !self.associations.is_empty() || self.auth_off.is_some() || self.trusts_keys;
        by_lines || self.command.may_associate()
    }

    /// Whether the daemon takes mode 7: 4.2.6 always, 4.2.8 if told to, NTPsec never.
    pub fn takes_mode7(&self) -> bool {
        match self.daemon.dialect {
            Dialect::Ntp426 => true,
            Dialect::Ntp428 => self.mode7_on && !self.mode7_off,
            Dialect::NtpSec => false,
        }
    }

    /// Whether the daemon limits those whose line says `limited`, for certain. `disable monitor` ends it unless an entry
    /// with that flag holds the monitor list open (ntp_restrict.c:inc_res_limited), and the count of those goes wrong:
    /// in 4.2.6 when an entry goes, in NTPsec 1.2.2 for the built-in ones, which a line for `default` merges with.
    pub fn limits(&self) -> bool {
        let holds = |restrict: &Restrict| {
            let counted = match restrict.target {
                Target::Address(_) => true,
                Target::Default => !self.daemon.is_ntpsec(),
                // Not before it is resolved; a template.
                Target::Name(_) | Target::Source => false,
            };
            counted && restrict.flags.has(Flags::LIMITED)
        };
        let added = self.restricts.iter().all(|restrict| restrict.action == Action::Add);
        self.monitor_off.is_none() || added && self.restricts.iter().any(holds)
    }

    /// `path:line:column` of a place.
    pub fn show(&self, place: Place) -> impl fmt::Display {
        let Span { line, column, .. } = place.span;
        format!("{}:{line}:{column}", self.files[place.file].path.display())
    }

    /// Where a restrict line stands, by its place among these: all of the line, for what is said about it as a whole.
    pub fn place(&self, restrict: u32) -> Place {
        let (Restrict { file, line, .. }, column, text) = self.written(restrict);
        let span = Span { line: *line as usize, column, length: text.trim_ascii().len() };
        Place { file: *file as usize, span }
    }

    /// Its text. What a terminal would obey is shown, not sent.
    pub fn text(&self, restrict: u32) -> String {
        let (.., text) = self.written(restrict);
        String::from_utf8_lossy(text).trim().replace(char::is_control, " ")
    }

    /// Both, as `path:line:column: text`.
    pub fn quote(&self, restrict: u32) -> String {
        format!("{}: {}", self.show(self.place(restrict)), self.text(restrict))
    }

    /// A restrict line, the column in which it begins, and all of it as written.
    fn written(&self, restrict: u32) -> (&Restrict, usize, &[u8]) {
        let restrict = &self.restricts[restrict as usize];
        let bytes = &self.files[restrict.file as usize].bytes;
        let (before, after) = bytes.split_at(restrict.start as usize);
        let column = 1 + before.iter().rev().take_while(|&&b| b != b'\n').count();
        let rest = after.iter().take_while(|&&b| b != b'\n').count();
        (restrict, column, &bytes[before.len() + 1 - column..before.len() + rest])
    }

    fn tell(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Some lines are out of reach.
    fn blind(&mut self, place: Option<Place>, why: String) {
        self.blind = true;
        let message = format!("{why}: no line of the configuration is enforced, only hardening");
        self.tell(Diagnostic { code: Code::IncludeUnread, place, message, help: None });
    }
}
