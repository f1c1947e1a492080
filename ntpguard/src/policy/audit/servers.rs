//! The file's own servers: whether their answers, which come from port 123, reach the daemon.

use super::Audit;
use crate::{
    conf::{Association, Target, diagnostic::Code, place::Place},
    daemon::{family::Family, flags::Flags, profile::SourceEntries},
    policy::{Entry, Resolver},
};
use std::net::IpAddr;

/// The source of the flags that decide on an association's packets.
enum Decisive<'a> {
    /// An entry of the access list.
    Entry(Entry<'a>),
    /// `restrict source`, with these flags.
    Template(Flags),
}

/// A server of the configuration, with its addresses.
struct Server<'a> {
    association: &'a Association,
    host: &'a str,
    /// Whether it is written as a name.
    named: bool,
    /// The addresses that the name resolves to now.
    addresses: Vec<IpAddr>,
}

impl Server<'_> {
    /// The flags that drop its answers, in whichever entry they are.
    fn fatal(&self) -> Flags {
        let always = Flags::IGNORE.with(Flags::NOSERVE);
        if self.association.authenticated { always } else { always.with(Flags::NOTRUST) }
    }

    /// Whether its addresses may change: those of pools, and of names that have several.
    fn rotates(&self) -> bool {
        let of = |family| self.addresses.iter().filter(|address| Family::of(**address) == family).count();
        let pool = self.association.keyword == "pool" || self.host.split('.').any(|label| label == "pool");
        self.named && (pool || of(Family::V4) > 1 || of(Family::V6) > 1)
    }
}

impl<'a> Audit<'a> {
    pub(super) fn servers(&mut self, resolver: Resolver<'_>) {
        let conf = self.conf;
        let servers: Vec<_> = conf.associations.iter().filter_map(|it| server(it, resolver)).collect();
        let mut cut_by_template = Flags::NONE;
        for server in &servers {
            let place = server.association.place;
            match self.cut(server) {
                Some(Decisive::Template(flags)) => cut_by_template = cut_by_template.with(flags),
                Some(Decisive::Entry(entry)) if server.addresses.is_empty() => {
                    self.behind(server, &entry, "can't be resolved now");
                }
                Some(Decisive::Entry(entry)) => {
                    let flags = entry.flags.shared(server.fatal());
                    let message = format!(
                        "its answers are dropped: `{flags}` for {} ({})",
                        entry.net,
                        self.origin(&entry, flags)
                    );
                    let help = self.help_to_open(server, &entry);
                    self.add(Code::ServerCutOff, Some(place), message, Some(&help));
                }
                None if server.rotates() => self.by_name(server),
                None => (),
            }
        }
        self.template(cut_by_template);
        self.pools(&servers);
    }

    /// Whether `restrict source` applies only to servers that would otherwise be cut off.
    fn only_cut_off(&self) -> bool {
        self.conf.profile.source_entries == SourceEntries::CutOff
    }

    /// What decides on packets from the address that `entry` matches.
    fn decisive(&self, server: &Server<'_>, entry: Entry<'a>) -> Decisive<'a> {
        // Where `restrict source` applies only to servers that would be cut off, `noserve` doesn't make it apply.
        let needed = server.fatal().without(Flags::NOSERVE);
        let used = !self.only_cut_off() || entry.flags.has(needed);
        match self.policy.source {
            Some(source) if used && !entry.net.is_host() => Decisive::Template(source.flags),
            _ => Decisive::Entry(entry),
        }
    }

    /// What drops a server's answers: the entry for one of its current addresses, or if its name doesn't resolve, a
    /// default entry.
    fn cut(&self, server: &Server<'_>) -> Option<Decisive<'a>> {
        let matching = |address: &IpAddr| self.policy.matching(*address, 123);
        let entries: Vec<_> = match server.addresses.is_empty() {
            true => self.defaults().collect(),
            false => server.addresses.iter().filter_map(matching).collect(),
        };
        entries.into_iter().find_map(|entry| match self.decisive(server, entry) {
            Decisive::Template(flags) => {
                Some(Decisive::Template(flags.shared(server.fatal()))).filter(|_| flags.has(server.fatal()))
            }
            Decisive::Entry(entry) => {
                Some(Decisive::Entry(entry)).filter(|_| entry.flags.has(server.fatal()))
            }
        })
    }

    /// The entries that decide on packets from port 123 of sources that no line names.
    fn defaults(&self) -> impl Iterator<Item = Entry<'a>> {
        let policy = self.policy;
        let first = |family| {
            policy.entries.iter().find(|entry| entry.net.is_everything() && entry.net.family() == family)
        };
        [Family::V4, Family::V6].into_iter().filter_map(first)
    }

    /// Reports a server whose current addresses pass by a line for its name, and that may have other addresses later.
    fn by_name(&mut self, server: &Server<'_>) {
        let is_name = |index: u32| matches!(self.conf.lines[index as usize].target, Target::Name(_));
        let by_name = server.addresses.iter().any(|address| {
            let entry = self.policy.matching(*address, 123);
            entry.is_some_and(|entry| {
                entry.net.is_host() && entry.lines.iter().any(|line| is_name(line.index))
            })
        });
        if !by_name || self.policy.source.is_some() {
            return;
        }
        let shut = self.defaults().find(|entry| entry.flags.has(server.fatal()));
        if let Some(entry) = shut {
            self.behind(
                server,
                &entry,
                "has other addresses from time to time, and the daemon looks it up once",
            );
        }
    }

    fn behind(&mut self, server: &Server<'_>, entry: &Entry<'a>, why: &str) {
        let flags = entry.flags.shared(server.fatal());
        let message = format!(
            "`{}` {why}: `{flags}` for {} ({}) drops the answers of every address that no other line names",
            server.host,
            entry.net,
            self.origin(entry, flags)
        );
        let help = self.help_to_open(server, entry);
        self.add(Code::NameBehindIgnore, Some(server.association.place), message, Some(&help));
    }

    /// Reports a `restrict source` that shuts out the servers that it is for.
    fn template(&mut self, cut: Flags) {
        let Some(place) = self.template_line() else { return };
        let never = self
            .policy
            .source
            .map(|source| source.flags)
            .unwrap_or_default()
            .shared(Flags::IGNORE.with(Flags::NOSERVE));
        let (flags, what) = match self.only_cut_off() {
            true if cut == Flags::NONE => {
                (never, "would drop the answers of a server that this line lets in")
            }
            _ => (cut, "drops the answers of every server that no line for its address names"),
        };
        if flags != Flags::NONE {
            let message = format!("`{flags}` {what}");
            let help = format!("take `{flags}` away from this line: it speaks of this file's own servers");
            self.add(Code::ServerCutOff, Some(place), message, Some(&help));
        }
    }

    /// The last `restrict source` line, which is the one in force.
    fn template_line(&self) -> Option<Place> {
        let line = self.conf.lines.iter().rposition(|line| line.target == Target::Source);
        line.map(|line| self.conf.place(line as u32))
    }

    /// Reports pools that `nopeer` disables: the daemon mobilizes an association for each server of a pool that
    /// answers, unless `nopeer` forbids it.
    fn pools(&mut self, servers: &[Server<'_>]) {
        if !self.conf.profile.nopeer_stops_pools {
            return;
        }
        let pools = servers.iter().filter(|server| server.association.keyword == "pool");
        for pool in pools.filter(|pool| !pool.association.authenticated) {
            if self.cut(pool).is_some() {
                continue;
            }
            let mut entries = match pool.addresses.is_empty() {
                true => self.defaults().collect::<Vec<_>>(),
                false => pool.addresses.iter().filter_map(|it| self.policy.matching(*it, 123)).collect(),
            }
            .into_iter();
            let refused = entries.find_map(|entry| match self.decisive(pool, entry) {
                Decisive::Template(flags) if flags.has(Flags::NOPEER) => {
                    let line = self.template_line().map(|place| self.conf.show(place).to_string());
                    let line = line.unwrap_or_default();
                    Some((format!("`nopeer` in `restrict source` ({line})"), "take `nopeer` away from that line"))
                }
                Decisive::Entry(entry) if entry.flags.has(Flags::NOPEER) => {
                    let line = self.origin(&entry, Flags::NOPEER);
                    let help = "add `restrict source nomodify notrap noquery`, which stands for `restrict default` with \
                                the servers that the pool names";
                    Some((format!("`nopeer` for {} ({line})", entry.net), help))
                }
                _ => None,
            });
            if let Some((nopeer, help)) = refused {
                let message =
                    format!("the daemon never takes a server from this pool: {nopeer} forbids it to");
                // The reason is the same for all pools.
                return self.add(Code::PoolNopeer, Some(pool.association.place), message, Some(help));
            }
        }
    }

    /// Advice on the lines that let this file's servers in, and no others.
    fn help_to_open(&self, server: &Server<'_>, entry: &Entry<'_>) -> String {
        let flags = entry.flags.shared(server.fatal());
        let noserve = flags.shared(Flags::NOSERVE);
        if entry.net.is_host() || entry.ntpport {
            return format!("take `{flags}` away from that line");
        }
        match self.conf.profile.source_entries {
            SourceEntries::CutOff if self.policy.source.is_some() && flags == noserve => {
                "write `ignore` in place of `noserve`: the daemon opens the way for a server by `restrict source` only where \
                 `ignore` or `notrust` shuts it out"
                    .to_owned()
            }
            SourceEntries::CutOff if flags == noserve => "write `ignore` in place of `noserve`, and add `restrict source \
                                                    nomodify noquery`, which opens the way for this file's servers alone"
                .to_owned(),
            SourceEntries::CutOff | SourceEntries::All if server.named => {
                let notrap = if self.conf.profile.inert.has(Flags::NOTRAP) { "" } else { "notrap " };
                format!(
                    "add `restrict source nomodify {notrap}noquery`: it opens the way for this file's servers, whatever \
                     their addresses are, and for nobody else"
                )
            }
            // Answers come from port 123, which `ntpport` lets in.
            SourceEntries::Unknown if server.named => {
                let whom = match entry.net.is_everything() {
                    true => "default".to_owned(),
                    false => format!("{} mask {}", entry.net.address(), entry.net.mask()),
                };
                format!(
                    "add `restrict {whom} ntpport nomodify notrap nopeer noquery`: servers answer from port 123, whatever \
                     their addresses are, and of all others only who asks from that port gets time, and nobody an answer \
                     to a query"
                )
            }
            _ => {
                let address = server.addresses.first().map(ToString::to_string).unwrap_or_default();
                format!("add `restrict {address} nomodify noquery`")
            }
        }
    }
}

fn server<'a>(association: &'a Association, resolver: Resolver<'_>) -> Option<Server<'a>> {
    let host = association.host.as_deref()?;
    // The associations of the other keywords are answered from addresses that aren't known here.
    if !["server", "peer", "pool"].contains(&&*association.keyword) {
        return None;
    }
    let literal: Option<IpAddr> = host.parse().ok();
    let addresses = literal.map_or_else(|| resolver(host).unwrap_or_default(), |address| vec![address]);
    // Reference clocks send no packets.
    let clock = |address: &IpAddr| matches!(address, IpAddr::V4(v4) if v4.octets()[..2] == [127, 127]);
    let is_clock = literal.as_ref().is_some_and(clock);
    (!is_clock).then_some(Server { association, host, named: literal.is_none(), addresses })
}
