//! What a daemon's configuration says of who may do what: made by the reader of its format, and all that `policy/` takes.
//!
//! Contract: lines stand in the order of the files, without those and that of them which the daemon drops; nothing is
//! resolved. How the daemon applies them stands in its [`Profile`].

use super::{
    access_line::{AccessLine, Target},
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
#[derive(Clone, Debug)]
pub struct AccessList {
    /// How the daemon that it was read for behaves.
    pub profile: &'static Profile,
    /// The files, the first one first. Empty when there is none: the daemon's built-in defaults.
    pub files: Vec<File>,
    /// Every file and folder that was looked for, whether it is there or not, as it was before it was read.
    pub sought: Fingerprint,
    /// The lines about access.
    pub lines: Vec<AccessLine>,
    /// Masks that the daemon looks up as names of hosts, by the place of their lines in [`AccessList::lines`].
    pub mask_names: BTreeMap<u32, Box<str>>,
    /// The only family of which addresses of names are taken, whatever a line says.
    pub family: Option<Family>,
    /// The lines that set up associations.
    pub associations: Vec<Association>,
    /// Whether associations may come to be: those of lines and of the command line, and those that others set up.
    pub may_associate: bool,
    /// Whether any key is trusted: without one, no MAC is ever right.
    pub trusts_any_key: bool,
    /// Whether the daemon takes mode 7, as far as the files could be read.
    pub takes_mode_7: bool,
    /// The line that switches authentication off.
    pub auth_off: Option<Place>,
    /// The line that switches the list of clients off, which the rate limiter needs.
    pub monitor_off: Option<Place>,
    /// Whether the daemon limits those whose line says `limited`, for certain.
    pub limits: bool,
    /// The rate limiter's parameters.
    pub limiter: Limiter,
    /// What an administrator should know.
    pub diagnostics: Vec<Diagnostic>,
    /// Some lines that the daemon may read are not in here: nothing may be dropped on account of the others.
    pub blind: bool,
    /// What a word was probably meant to be that can't be resolved as a name, in this format.
    pub unresolved: fn(&str) -> (Code, &'static str),
}

impl AccessList {
    /// The absence of a file, which leaves a daemon at its built-in defaults.
    pub fn new(profile: &'static Profile, limiter: Limiter) -> Self {
        Self {
            profile,
            files: Vec::new(),
            sought: Fingerprint::default(),
            lines: Vec::new(),
            mask_names: BTreeMap::new(),
            family: None,
            associations: Vec::new(),
            may_associate: false,
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

    /// The names in its lines about access.
    pub fn restricted(&self) -> impl Iterator<Item = &str> {
        let targets = self.lines.iter().filter_map(|line| match &line.target {
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

    /// `path:line:column` of a place.
    pub fn show(&self, place: Place) -> impl fmt::Display {
        let Span { line, column, .. } = place.span;
        format!("{}:{line}:{column}", self.files[place.file].path.display())
    }

    /// Where a line about access stands, by its index: all of the line, for what is said about it as a whole.
    pub fn place(&self, index: u32) -> Place {
        let (AccessLine { file, line, .. }, column, text) = self.written(index);
        let span = Span { line: *line as usize, column, length: text.trim_ascii().len() };
        Place { file: *file as usize, span }
    }

    /// Its text. What a terminal would obey is shown, not sent.
    pub fn text(&self, index: u32) -> String {
        let (.., text) = self.written(index);
        String::from_utf8_lossy(text).trim().replace(char::is_control, " ")
    }

    /// Both, as `path:line:column: text`.
    pub fn quote(&self, index: u32) -> String {
        format!("{}: {}", self.show(self.place(index)), self.text(index))
    }

    /// A line about access, the column in which it begins, and all of it as written.
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

    /// Some lines are out of reach.
    pub(in crate::conf) fn blind(&mut self, place: Option<Place>, why: String) {
        self.blind = true;
        let message = format!("{why}: no line of the configuration is enforced, only hardening");
        self.add(Diagnostic { code: Code::IncludeUnread, place, message, help: None });
    }
}
