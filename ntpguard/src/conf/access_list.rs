//! What a daemon's configuration says about access: made by the reader of its format, and the only input of `policy/`.
//!
//! Contract: lines stand in the order of the files. Lines, and parts of lines, that the daemon drops are left out.
//! Nothing is resolved. How the daemon applies the lines is in its [`Profile`].

use super::{
    access_line::{AccessLine, Action, Target},
    diagnostic::{Code, Diagnostic},
    limiter::Limiter,
    place::{Place, Span},
};
use crate::{
    daemon::{family::Family, profile::Profile},
    host::file_changes::Fingerprint,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    path::PathBuf,
};

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path.
    pub path: PathBuf,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// A line that sets up associations: `server`, `pool`, `peer`, and those for broadcast and manycast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Association {
    /// The keyword that the line begins with.
    pub keyword: String,
    /// The host, as written; `None` for lines that have none (`broadcastclient`).
    pub host: Option<String>,
    /// Whether its packets carry a MAC or NTS: the line has `key`, `autokey` or `nts`.
    pub authenticated: bool,
    /// Where the host stands, or the keyword if there is none.
    pub place: Place,
}

/// Whether peers may mobilize associations by asking the daemon in mode 1 (RFC 5905 §9.2, NEWPS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passive {
    /// No peer may.
    Never,
    /// A peer whose packet has a valid MAC.
    WithMac,
    /// Any peer.
    Always,
}

/// A configuration: one file and those it includes, in reading order.
#[derive(Clone, Debug)]
pub struct AccessList {
    /// How the daemon behaves for which the file was read.
    pub profile: &'static Profile,
    /// The files in reading order. Empty when there is none: the daemon runs with its built-in defaults.
    pub files: Vec<File>,
    /// Every file and folder that was looked for, whether it exists or not, in the state before it was read.
    pub sought: Fingerprint,
    /// The access lines.
    pub lines: Vec<AccessLine>,
    /// Masks that the daemon looks up as host names, by the index of their lines in [`AccessList::lines`].
    pub mask_names: BTreeMap<u32, Box<str>>,
    /// The only address family that names are resolved to, whatever a line says; `None` for both.
    pub family: Option<Family>,
    /// The lines that set up associations.
    pub associations: Vec<Association>,
    /// The servers that the daemon's command line names.
    pub command_servers: Vec<String>,
    /// Whether peers may mobilize associations by asking (mode 1).
    pub passive: Passive,
    /// Whether servers that broadcast may become associations.
    pub hears_broadcasts: bool,
    /// Whether any key is trusted. If not, no MAC is ever valid.
    pub trusts_any_key: bool,
    /// Whether the daemon accepts mode 7, as far as the files could be read.
    pub takes_mode_7: bool,
    /// The line that disables authentication.
    pub auth_off: Option<Place>,
    /// The line that disables the monitor list, which the rate limiter needs.
    pub monitor_off: Option<Place>,
    /// Whether it is certain that the daemon limits sources whose line says `limited`.
    pub limits: bool,
    /// The rate limiter's parameters.
    pub limiter: Limiter,
    /// The findings for the administrator.
    pub diagnostics: Vec<Diagnostic>,
    /// Whether lines that the daemon may read are missing here: nothing may be dropped on account of the others then.
    pub blind: bool,
    /// For a word that can't be resolved as a name: what was probably meant, in this format.
    pub unresolved: fn(&str) -> (Code, &'static str),
}

impl AccessList {
    /// The list for a missing file, which leaves a daemon at its built-in defaults.
    pub fn new(profile: &'static Profile, limiter: Limiter) -> Self {
        Self {
            profile,
            files: Vec::new(),
            sought: Fingerprint::default(),
            lines: Vec::new(),
            mask_names: BTreeMap::new(),
            family: None,
            associations: Vec::new(),
            command_servers: Vec::new(),
            passive: Passive::Never,
            hears_broadcasts: false,
            trusts_any_key: false,
            takes_mode_7: false,
            auth_off: None,
            monitor_off: None,
            limits: true,
            limiter,
            diagnostics: Vec::new(),
            blind: false,
            unresolved: |_| (Code::UnresolvedName, "see to its spelling, and to DNS when the daemon starts"),
        }
    }

    /// The names in its access lines.
    pub fn restricted(&self) -> impl Iterator<Item = &str> {
        let targets = self.lines.iter().filter_map(|line| match &line.target {
            Target::Name(name) => Some(&**name),
            _ => None,
        });
        targets.chain(self.mask_names.values().map(|name| &**name))
    }

    /// Whether associations get entries of their own (`restrict source`).
    pub fn has_source(&self) -> bool {
        let is_for_them = |line: &AccessLine| line.target == Target::Source && line.action != Action::Delete;
        self.lines.iter().any(is_for_them)
    }

    /// The hosts with which the daemon associates, as its lines and its command line name them.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        let of_lines = self.associations.iter().filter_map(|association| association.host.as_deref());
        of_lines.chain(self.command_servers.iter().map(String::as_str))
    }

    /// The names in all its lines that are to be resolved, each once.
    pub fn names(&self) -> Vec<String> {
        let hosts = self.hosts().filter(|host| host.parse::<IpAddr>().is_err());
        let names: BTreeSet<&str> = self.restricted().chain(hosts).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    /// `path:line:column` of a place.
    pub fn show(&self, place: Place) -> impl fmt::Display {
        let Span { line, column, .. } = place.span;
        format!("{}:{line}:{column}", self.files[place.file].path.display())
    }

    /// The place of an access line, by its index: the whole line, for findings about all of it.
    pub fn place(&self, index: u32) -> Place {
        let (AccessLine { file, line, .. }, column, text) = self.written(index);
        let span = Span { line: *line as usize, column, length: text.trim_ascii().len() };
        Place { file: *file as usize, span }
    }

    /// The text of an access line, by its index. Control characters are replaced by spaces, since a terminal would obey
    /// them.
    pub fn text(&self, index: u32) -> String {
        let (.., text) = self.written(index);
        String::from_utf8_lossy(text).trim().replace(char::is_control, " ")
    }

    /// Place and text of an access line, as `path:line:column: text`.
    pub fn quote(&self, index: u32) -> String {
        format!("{}: {}", self.show(self.place(index)), self.text(index))
    }

    /// An access line, the column in which it begins, and the whole line as written.
    fn written(&self, index: u32) -> (&AccessLine, usize, &[u8]) {
        let line = &self.lines[index as usize];
        let bytes = &self.files[line.file as usize].bytes;
        let (before, after) = bytes.split_at(line.start as usize);
        let column = 1 + before.iter().rev().take_while(|&&b| b != b'\n').count();
        let rest = after.iter().take_while(|&&b| b != b'\n').count();
        (line, column, &bytes[before.len() + 1 - column..before.len() + rest])
    }

    /// Adds a finding.
    pub(in crate::conf) fn add(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Notes that some lines are out of reach, and why.
    pub(in crate::conf) fn blind(&mut self, place: Option<Place>, why: String) {
        self.blind = true;
        let message = format!("{why}: no line of the configuration is enforced, only hardening");
        self.add(Diagnostic { code: Code::IncludeUnread, place, message, help: None });
    }
}
