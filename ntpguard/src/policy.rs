//! ConfFile → [`Policy`]: what the daemon holds after reading its configuration.
//!
//! Contract: the entries stand in the order in which the daemon looks at them, and the first that matches decides
//! (ntp_restrict.c:match_restrict4_addr). Names are resolved, duplicates merged, what a line takes away is gone, and
//! the built-in entries are there.

use crate::{
    conf::{Action, ConfFile, Family, Flags, Restrict, Target},
    diagnostic::{Code, Diagnostic},
    dialect::{Daemon, Dialect},
    net::Net,
};
use std::{cmp::Reverse, collections::HashMap, io, net::IpAddr};

/// Looks up a name; [`crate::resolve::addresses`] is the real one.
pub type Resolver<'a> = &'a dyn Fn(&str) -> io::Result<Vec<IpAddr>>;

/// One entry of the daemon's access list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whom it speaks of.
    pub net: Net,
    /// Only packets from UDP port 123.
    pub ntpport: bool,
    /// The daemon's own address, which it ignores as a source (ntp_io.c:create_interface).
    pub own: bool,
    /// All flags that its lines set for certain.
    pub flags: Flags,
    /// Its lines, as indices into [`ConfFile::restricts`], in file order, with the flags that each has set and no later
    /// one has cleared. None for a built-in entry.
    pub lines: Vec<(usize, Flags)>,
    /// Which of several addresses of a name the daemon took can't be known: this entry may not be there.
    pub doubtful: bool,
}

impl Entry {
    /// Whether a line, and not a default one, lets its sources query.
    pub fn permits_queries(&self) -> bool {
        !self.lines.is_empty()
            && !self.net.is_everything()
            && !self.flags.has(Flags::IGNORE.with(Flags::NOQUERY))
    }
}

/// What tells an entry from others: whom it speaks of, `ntpport`, and whether it is an own address
/// (ntp_restrict.c:hack_restrict).
type Identity = (Net, bool, bool);

/// The access control of a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// In the daemon's order, IPv4 first.
    pub entries: Vec<Entry>,
    /// The flags of `restrict source`, if such a line exists and associations may: any address may turn out to be an
    /// association's, and then has these instead of its own.
    pub source: Option<Flags>,
    /// What an administrator should know beyond [`ConfFile::diagnostics`].
    pub diagnostics: Vec<Diagnostic>,
}

impl Policy {
    /// Applies the lines in order; `own` are the addresses of the daemon's host.
    pub fn resolve(conf: &ConfFile, resolver: Resolver<'_>, own: &[IpAddr]) -> Self {
        let mut builder = Builder {
            daemon: conf.daemon,
            resolver,
            entries: Vec::new(),
            places: HashMap::new(),
            source: None,
            diagnostics: Vec::new(),
        };
        for family in [Family::V4, Family::V6] {
            let net = Net::everything(family);
            builder.entry(net, false, false).0.flags = conf.daemon.built_in_default();
        }
        for address in own {
            builder.entry(Net::host(*address), true, true).0.flags = Flags::IGNORE;
        }
        for (index, restrict) in conf.restricts.iter().enumerate() {
            builder.apply(index, restrict);
        }
        let Builder { entries, source, diagnostics, .. } = builder;
        let mut entries: Vec<_> = entries.into_iter().flatten().collect();
        // Stable: what ranks equal keeps the order of lines.
        entries.sort_by_cached_key(|entry| rank(entry, conf.daemon));
        // Without keys and with authentication nobody sets up an association but the file.
        let associations = !conf.associations.is_empty() || conf.auth_off.is_some() || conf.trusts_keys;
        Self { entries, source: source.filter(|_| associations), diagnostics }
    }

    /// The entry that decides on a source, in the daemon's way: the first that matches.
    pub fn matching(&self, source: IpAddr, port: u16) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.net.contains(source) && (!entry.ntpport || port == 123))
    }
}

type Rank = (Family, Reverse<(u128, u128)>, Reverse<u16>);

/// The daemon's order: by address, then by mask, then by match flags, all descending (ntp_restrict.c:
/// res_sorts_before4, mflags_sorts_before; the bits are those of ntp.h).
fn rank(entry: &Entry, daemon: Daemon) -> Rank {
    let flags = match (entry.own, entry.ntpport) {
        (true, _) => 0x3000,
        (false, true) if !daemon.is_p18() => 0x2000,
        (false, _) => 0,
    };
    let number = |address| match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    };
    (entry.net.family(), Reverse((number(entry.net.address()), number(entry.net.mask()))), Reverse(flags))
}

struct Builder<'a> {
    daemon: Daemon,
    resolver: Resolver<'a>,
    /// In the order of their creation; `None` once deleted.
    entries: Vec<Option<Entry>>,
    places: HashMap<Identity, usize>,
    source: Option<Flags>,
    diagnostics: Vec<Diagnostic>,
}

impl Builder<'_> {
    fn apply(&mut self, index: usize, restrict: &Restrict) {
        match &restrict.target {
            Target::Source => self.template(restrict),
            Target::Default => {
                for family in [Family::V4, Family::V6] {
                    if restrict.family.is_none_or(|wanted| wanted == family) {
                        self.change(Net::everything(family), index, restrict, false);
                    }
                }
            }
            Target::Address(address) => {
                let net = restrict.mask.map_or(Net::host(*address), |mask| Net::new(*address, mask));
                self.change(net, index, restrict, false);
            }
            Target::Name(name) => self.name(name, index, restrict),
        }
    }

    fn template(&mut self, restrict: &Restrict) {
        // The last line wins, and `unrestrict source` is one of them (ntp_config.c:config_access). 4.2.8's
        // `delrestrict source ADDRESS` takes an association's entry away, not the template.
        if restrict.action != Action::Delete {
            self.source = Some(restrict.flags);
        }
    }

    /// 4.2.6 takes the first address of a name, 4.2.8 and NTPsec all. After a name, 4.2.8p18 knows no mask
    /// (Bug 3872); the others apply it to the first address.
    fn name(&mut self, name: &str, index: usize, restrict: &Restrict) {
        let addresses = match (self.resolver)(name) {
            Ok(addresses) => addresses,
            Err(error) => {
                let (code, help) = unresolved(name);
                let message = format!(
                    "`{name}` is no address, and as a name it can't be resolved ({error}): the line has no effect"
                );
                self.diagnostics.push(Diagnostic::at(code, restrict.place, message).help(help));
                return;
            }
        };
        let family = |address: &&IpAddr| restrict.family.is_none_or(|family| family == Family::of(**address));
        let addresses: Vec<_> = addresses.iter().filter(family).copied().collect();
        let one = self.daemon.dialect == Dialect::Ntp426;
        let mask = restrict.mask.filter(|_| !self.daemon.is_p18());
        let doubtful = addresses.len() > 1 && (one || mask.is_some());
        if doubtful {
            let message = format!(
                "`{name}` has {} addresses, and which one is the daemon's first can't be known: nothing is dropped on \
                 account of this line",
                addresses.len()
            );
            let found = Diagnostic::at(Code::AmbiguousName, restrict.place, message);
            self.diagnostics.push(found.help("write the addresses"));
        }
        for address in addresses {
            if doubtful || mask.is_none() {
                self.change(Net::host(address), index, restrict, doubtful);
            }
            if let Some(mask) = mask {
                self.change(Net::new(address, mask), index, restrict, doubtful);
            }
        }
    }

    /// Does to one entry what a line says.
    fn change(&mut self, net: Net, index: usize, restrict: &Restrict, doubtful: bool) {
        let ntpport = restrict.flags.has(Flags::NTPPORT);
        let flags = restrict.flags.without(Flags::NTPPORT).without(self.daemon.inert());
        match restrict.action {
            Action::Add => {
                let (entry, new) = self.entry(net, ntpport, false);
                // Flags that may be there drop nothing, except in an entry that is in doubt as a whole.
                if entry.doubtful && !doubtful {
                    entry.flags = flags;
                } else if entry.doubtful == doubtful || new {
                    entry.flags = entry.flags.with(flags);
                }
                entry.doubtful = doubtful && (new || entry.doubtful);
                entry.lines.push((index, flags));
            }
            Action::Unrestrict if flags == Flags::NONE && !ntpport => self.delete(net, doubtful),
            Action::Unrestrict => {
                if let Some(&place) = self.places.get(&(net, ntpport, false))
                    && let Some(entry) = &mut self.entries[place]
                {
                    entry.flags = entry.flags.without(flags);
                    for (_, set) in &mut entry.lines {
                        *set = set.without(flags);
                    }
                }
            }
            Action::Delete => self.delete(net, doubtful),
        }
    }

    /// The plain entry for a network goes; the built-in defaults stay.
    fn delete(&mut self, net: Net, doubtful: bool) {
        let Some(&place) = self.places.get(&(net, false, false)).filter(|_| !net.is_everything()) else {
            return;
        };
        if doubtful && let Some(entry) = &mut self.entries[place] {
            entry.doubtful = true;
        } else {
            self.places.remove(&(net, false, false));
            self.entries[place] = None;
        }
    }

    /// The entry with this identity, made if there is none, and whether it was.
    fn entry(&mut self, net: Net, ntpport: bool, own: bool) -> (&mut Entry, bool) {
        let made = || Entry { net, ntpport, own, flags: Flags::NONE, lines: Vec::new(), doubtful: false };
        let place = *self.places.entry((net, ntpport, own)).or_insert(self.entries.len());
        let new = place == self.entries.len();
        if new {
            self.entries.push(None);
        }
        (self.entries[place].get_or_insert_with(made), new)
    }
}

/// What a word was probably meant to be that is neither an address nor a name of anyone.
fn unresolved(name: &str) -> (Code, &'static str) {
    let numeric = |c: char| c.is_ascii_hexdigit() || ".:*/".contains(c);
    match name {
        "any" | "all" | "*" | "Default" | "DEFAULT" => (Code::BadAddress, "did you mean `default`?"),
        "default" => (Code::BadAddress, "write `default` without quotes"),
        "source" => (Code::BadAddress, "4.2.8 and NTPsec know `restrict source`; leave the line away here"),
        _ if name.chars().all(numeric) && name.contains(['.', ':']) => {
            (Code::BadAddress, "write an address: four numbers up to 255, or a whole IPv6 address")
        }
        _ => (
            Code::UnresolvedName,
            "if that is right for now, behind `restrict default ignore` write addresses",
        ),
    }
}
