//! [`AccessList`] → [`Policy`]: the access list that the daemon has after it has read its configuration.
//!
//! Contract: the entries are in the order in which the daemon searches them, and the first match decides
//! (ntp_restrict.c:match_restrict4_addr). Names are resolved, duplicates merged, entries that lines remove are gone,
//! and the built-in entries are present.

use crate::{
    conf::{
        AccessLine, AccessList, Action, Target,
        diagnostic::{Code, Diagnostic},
    },
    daemon::{family::Family, flags::Flags, profile::NameUse},
    policy::network::Net,
};
use std::{io, net::IpAddr, sync::Arc};

pub mod audit;
mod changes;
mod entries;
pub(crate) mod hardening;
pub mod hardening_options;
pub mod limiter;
pub mod limiter_options;
pub mod network;
pub mod resolve;

pub use entries::{Entries, Entry, Line};

use changes::{Cause, Change};

/// Looks up a name. In production this is [`crate::policy::resolve::addresses`]; tests have others.
pub type Resolver<'a> = &'a dyn Fn(&str) -> io::Result<Vec<IpAddr>>;

/// What `restrict source` says: the entry that every association gets for its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceEntry {
    /// The entry's flags.
    pub flags: Flags,
    /// Whether it is only for packets from UDP port 123.
    pub ntpport: bool,
    /// The line, with the flags that it sets.
    pub line: Line,
}

/// The access control of a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The entries in the daemon's order, IPv4 first.
    pub entries: Arc<Entries>,
    /// The entry that every association gets by `restrict source`, if such a line exists. A daemon may have associations
    /// that no file names: those of its command line, which isn't known before it runs.
    pub source: Option<SourceEntry>,
    /// The addresses of the hosts with which its configuration tells the daemon to associate; empty if no line
    /// distinguishes them from others.
    pub associations: Vec<IpAddr>,
    /// Findings in addition to [`AccessList::diagnostics`].
    pub diagnostics: Vec<Diagnostic>,
}

impl Policy {
    /// Applies the lines in order; `own` are the addresses of the daemon's host.
    pub fn resolve(conf: &AccessList, resolver: Resolver<'_>, own: &[IpAddr]) -> Self {
        let start = |net, cause| Change { net, ntpport: cause == Cause::Own, doubtful: false, cause };
        let built_in = [Family::V4, Family::V6].map(|family| start(Net::everything(family), Cause::BuiltIn));
        let own = own.iter().map(|address| start(Net::host(*address), Cause::Own));
        let mut changes = Vec::with_capacity(conf.lines.len() + own.len() + built_in.len());
        changes.extend(built_in.into_iter().chain(own));
        let mut builder = Builder { conf, resolver, changes, source: None, diagnostics: Vec::new() };
        for (index, line) in conf.lines.iter().enumerate() {
            builder.apply(index as u32, line);
        }
        let Builder { changes, source, diagnostics, .. } = builder;
        let entries = Arc::new(changes::entries(changes, conf));
        let associations = source.map(|_| associations(conf, resolver)).unwrap_or_default();
        Self { entries, source, associations, diagnostics }
    }

    /// The entry that decides on a source, as the daemon finds it: the first match.
    pub fn matching(&self, source: IpAddr, port: u16) -> Option<Entry<'_>> {
        self.entries.iter().find(|entry| entry.net.contains(source) && (!entry.ntpport || port == 123))
    }
}

/// The addresses of the hosts with which the daemon associates. A name that can't be resolved has none yet.
fn associations(conf: &AccessList, resolver: Resolver<'_>) -> Vec<IpAddr> {
    let addresses = conf.hosts().flat_map(|host| match host.parse() {
        Ok(address) => vec![address],
        Err(_) => resolver(host).unwrap_or_default(),
    });
    let mut addresses: Vec<_> = addresses.collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

struct Builder<'a> {
    conf: &'a AccessList,
    resolver: Resolver<'a>,
    /// The changes, in the order of the lines.
    changes: Vec<Change>,
    source: Option<SourceEntry>,
    diagnostics: Vec<Diagnostic>,
}

impl Builder<'_> {
    fn apply(&mut self, index: u32, line: &AccessLine) {
        match &line.target {
            Target::Source => self.template(index, line),
            Target::Default => {
                for family in [Family::V4, Family::V6] {
                    if line.family.is_none_or(|wanted| wanted == family) {
                        self.change(Net::everything(family), index, line, false);
                    }
                }
            }
            Target::Address(address) => {
                let Some(masks) = self.masks(index, line) else { return };
                for mask in &masks {
                    let net = mask.map_or(Net::host(*address), |mask| Net::new(*address, mask));
                    self.change(net, index, line, masks.len() > 1);
                }
            }
            Target::Name(name) => self.name(name, index, line),
        }
    }

    fn template(&mut self, index: u32, line: &AccessLine) {
        // The last line wins, and `unrestrict source` counts as one (ntp_config.c:config_access). 4.2.8's
        // `delrestrict source ADDRESS` removes an association's entry, not the template.
        if line.action != Action::Delete {
            let flags = line.flags.without(Flags::NTPPORT).without(self.conf.profile.inert);
            let ntpport = line.flags.has(Flags::NTPPORT);
            self.source = Some(SourceEntry { flags, ntpport, line: Line { index, flags } });
        }
    }

    /// The masks that a line may have; `None` if its mask is a name that can't be resolved, so that the line has no
    /// effect.
    fn masks(&mut self, index: u32, line: &AccessLine) -> Option<Vec<Option<IpAddr>>> {
        let Some(name) = self.conf.mask_names.get(&index) else { return Some(vec![line.mask]) };
        let place = self.conf.place(index);
        let masks = match (self.resolver)(name) {
            Ok(masks) => masks,
            Err(error) => {
                let message =
                    format!("the mask `{name}` can't be resolved ({error}): the line has no effect");
                self.diagnostics.push(Diagnostic::at(Code::UnresolvedName, place, message));
                return None;
            }
        };
        if masks.len() > 1 {
            let message = format!(
                "the mask `{name}` has {} addresses, and which one is the daemon's first can't be known: nothing is dropped \
                 on account of this line",
                masks.len()
            );
            let found = Diagnostic::at(Code::AmbiguousName, place, message);
            self.diagnostics.push(found.help("write the mask as an address"));
        }
        Some(masks.into_iter().map(Some).collect())
    }

    /// Applies a line for a name. A mask after the name applies to its first address, if the daemon takes a mask there.
    fn name(&mut self, name: &str, index: u32, line: &AccessLine) {
        let addresses = match (self.resolver)(name) {
            Ok(addresses) => addresses,
            Err(error) => {
                let (code, help) = (self.conf.unresolved)(name);
                let message = format!(
                    "`{name}` is no address, and as a name it can't be resolved ({error}): the line has no effect"
                );
                self.diagnostics.push(Diagnostic::at(code, self.conf.place(index), message).help(help));
                return;
            }
        };
        let profile = self.conf.profile;
        let one = profile.name_use == NameUse::First;
        let wanted = self.conf.family.or(line.family);
        let family = |address: &&IpAddr| wanted.is_none_or(|family| family == Family::of(**address));
        let addresses: Vec<_> = addresses.iter().filter(family).copied().collect();
        let Some(masks) = self.masks(index, line) else { return };
        let masks: Vec<_> = masks.into_iter().flatten().filter(|_| profile.masks_names).collect();
        let ambiguous = addresses.len() > 1 && (one || !masks.is_empty());
        let doubtful = ambiguous || masks.len() > 1;
        if ambiguous {
            let message = format!(
                "`{name}` has {} addresses, and which one is the daemon's first can't be known: nothing is dropped on \
                 account of this line",
                addresses.len()
            );
            let found = Diagnostic::at(Code::AmbiguousName, self.conf.place(index), message);
            self.diagnostics.push(found.help("write the addresses, if they stay as they are"));
        }
        for address in addresses {
            if ambiguous || masks.is_empty() {
                self.change(Net::host(address), index, line, doubtful);
            }
            for &mask in &masks {
                self.change(Net::new(address, mask), index, line, doubtful);
            }
        }
    }

    /// Records that a line changes this entry.
    fn change(&mut self, net: Net, index: u32, line: &AccessLine, doubtful: bool) {
        let ntpport = line.flags.has(Flags::NTPPORT);
        self.changes.push(Change { net, ntpport, doubtful, cause: Cause::Line(index) });
    }
}
