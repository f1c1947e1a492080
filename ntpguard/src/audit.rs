//! What is wrong with a policy as a whole: lines that are read as written, and don't do what was meant.

use crate::{
    compile::{Hardening, Queries},
    conf::{ConfFile, Family, Flags, Place, Target},
    diagnostic::{Code, Diagnostic},
    dialect::Dialect,
    limits,
    net::Net,
    policy::{Entry, Line, Policy, Resolver},
};
use ntpguard_common::abi::Gap;
use std::net::IpAddr;

/// Everything there is to say about a configuration, in the order of its lines: what was found when it was read and
/// resolved, and what is wrong with the whole.
pub fn audit(
    conf: &ConfFile,
    policy: &Policy,
    hardening: Hardening,
    resolver: Resolver<'_>,
) -> Vec<Diagnostic> {
    let found = [&conf.diagnostics[..], &policy.diagnostics].concat();
    let mut audit = Audit { conf, policy, found };
    audit.merged();
    audit.unreachable();
    audit.limited();
    audit.switches();
    audit.families();
    audit.servers(resolver);
    audit.queries(hardening);
    audit.left_to_the_daemon();
    let mut found = audit.found;
    // By line; of one line, what was found in reading it comes first, since the rest follows from it.
    found.sort_by_key(|diagnostic| diagnostic.place.map(|place| (place.file, place.span.line)));
    // A line for both families is found twice.
    found.dedup_by(|a, b| a.place.is_some() && (a.place, a.code) == (b.place, b.code));
    found
}

/// The file's own servers whose answers the daemon drops.
pub fn cut_off(conf: &ConfFile, policy: &Policy, resolver: Resolver<'_>) -> Vec<Diagnostic> {
    let mut audit = Audit { conf, policy, found: Vec::new() };
    audit.servers(resolver);
    audit.found
}

/// Whether the daemon answers queries from an entry's sources.
pub fn answers_queries(entry: &Entry<'_>) -> bool {
    !entry.own && !entry.flags.has(Flags::IGNORE.with(Flags::NOQUERY))
}

struct Audit<'a> {
    conf: &'a ConfFile,
    policy: &'a Policy,
    found: Vec<Diagnostic>,
}

impl Audit<'_> {
    fn tell(&mut self, code: Code, place: Option<Place>, message: impl Into<String>, help: Option<&str>) {
        let help = help.map(str::to_owned);
        self.found.push(Diagnostic { code, place, message: message.into(), help });
    }

    fn place(&self, line: &Line) -> Place {
        self.conf.place(line.restrict)
    }

    fn first_line(&self, entry: &Entry<'_>) -> Option<Place> {
        entry.lines.first().map(|line| self.place(line))
    }

    /// The first line that sets a flag which is still set, among all entries.
    fn line_with(&self, flag: Flags) -> Option<Place> {
        let lines =
            self.policy.entries.iter().filter(|entry| entry.flags.has(flag)).flat_map(|entry| entry.lines);
        lines.filter(|line| line.flags.has(flag)).map(|line| self.place(line)).min()
    }

    fn merged(&mut self) {
        for entry in self.policy.entries.iter() {
            if let [first, .., last] = entry.lines
                && entry.lines.iter().any(|other| other.flags != first.flags)
            {
                let message = format!(
                    "{} has a line already ({}), and the flags of both apply: `{}`",
                    entry.net,
                    self.conf.show(self.place(first)),
                    entry.flags
                );
                self.tell(
                    Code::Merged,
                    Some(self.place(last)),
                    message,
                    Some("a line never takes a flag back"),
                );
            }
        }
    }

    fn unreachable(&mut self) {
        let entries = &self.policy.entries;
        for (place, entry) in entries.iter().enumerate() {
            let twin = |other: Entry<'_>| other.net == entry.net && !other.ntpport;
            let mut before = (place.saturating_sub(2)..place).filter_map(|place| entries.get(place));
            if entry.ntpport && !entry.own && before.any(twin) {
                let message = format!(
                    "never reached: 4.2.8p18 comes to the entry for {} without `ntpport` first",
                    entry.net
                );
                let help =
                    "put the line with `ntpport` before the one without; for `default` there is no way";
                self.tell(Code::UnreachableNtpport, self.first_line(&entry), message, Some(help));
            }
        }
    }

    fn limited(&mut self) {
        for entry in self.policy.entries.iter() {
            if entry.flags.has(Flags::KOD) && !entry.flags.has(Flags::LIMITED) {
                let line = entry.lines.iter().find(|line| line.flags.has(Flags::KOD));
                let place = line.map(|line| self.place(line));
                let message = "`kod` does nothing without `limited`";
                self.tell(Code::KodWithoutLimited, place, message, Some("add `limited`"));
            }
        }
        let limited = self.policy.entries.iter().any(|entry| entry.flags.has(Flags::LIMITED));
        if let Some(place) = self.conf.monitor_off.filter(|_| limited) {
            let line = match self.line_with(Flags::LIMITED) {
                Some(place) => self.conf.show(place).to_string(),
                None => "built in".to_owned(),
            };
            let message = format!("`limited` ({line}) keeps the monitor list on");
            let monlist = self.conf.daemon.dialect == Dialect::Ntp426 && self.queried();
            let help = monlist.then_some("what keeps monlist from being answered is `noquery`");
            self.tell(Code::MonitorWithLimited, Some(place), message, help);
        }
    }

    /// Whether anyone but this host may query.
    fn queried(&self) -> bool {
        let afar = |entry: &Entry<'_>| !entry.net.address().is_loopback();
        self.policy.entries.iter().filter(afar).any(|entry| answers_queries(&entry))
    }

    fn switches(&mut self) {
        if let Some(place) = self.conf.auth_off
            && self.conf.takes_mode7()
            && self.queried()
        {
            let message =
                "mode 7 needs no key now, and doesn't heed `nomodify`: anyone who may query may configure";
            let help = "say `noquery`, or leave authentication on";
            self.tell(Code::NomodifyWithoutAuth, Some(place), message, Some(help));
        }
    }

    fn families(&mut self) {
        let defaults = self.policy.entries.iter().filter(|entry| entry.net.is_everything() && !entry.ntpport);
        let named: Vec<_> = defaults.filter(|entry| !entry.lines.is_empty()).collect();
        if let [entry] = named[..] {
            let of = |family| entry.net.family() == family;
            let last = entry.lines.last().map(|line| self.place(line));
            let (named, other, option) =
                if of(Family::V4) { ("IPv4", "IPv6", "-6") } else { ("IPv6", "IPv4", "-4") };
            let message = format!("the default of {named} alone: {other} stays as it is built in");
            let help = format!("add a line with `restrict {option} default`, or leave the family away");
            self.tell(Code::OneFamily, last, message, Some(&help));
        }
    }

    /// The file's own servers, whose answers come from port 123.
    fn servers(&mut self, resolver: Resolver<'_>) {
        for association in &self.conf.associations {
            let Some(host) = &association.host else { continue };
            // Those whom the others reach answer from addresses of their own.
            if !["server", "peer", "pool"].contains(&association.keyword.as_str()) {
                continue;
            }
            let literal = host.parse().ok();
            let mut addresses =
                literal.map_or_else(|| resolver(host).unwrap_or_default(), |address| vec![address]);
            // Reference clocks send no packets.
            addresses.retain(|address| !matches!(address, IpAddr::V4(v4) if v4.octets()[..2] == [127, 127]));
            let cut = addresses.iter().find_map(|address| {
                let entry = self.policy.matching(*address, 123)?;
                let opened = self.policy.source.is_some_and(|source| {
                    let breaks = entry.flags.has(Flags::IGNORE) || !self.conf.daemon.is_ntpsec();
                    !entry.net.is_host() && breaks && !source.has(Flags::IGNORE.with(Flags::NOSERVE))
                });
                let drops = entry.flags.has(Flags::IGNORE.with(Flags::NOSERVE));
                (drops && !opened).then_some((*address, entry))
            });
            if let Some((address, entry)) = cut {
                let line = match self.first_line(&entry) {
                    Some(place) => format!("{}", self.conf.show(place)),
                    None => "built in".to_owned(),
                };
                let message =
                    format!("its answers are dropped: `{}` for {} ({line})", entry.flags, entry.net);
                let help = if entry.net.is_host() {
                    format!(
                        "take `{}` away from that line",
                        entry.flags.shared(Flags::IGNORE.with(Flags::NOSERVE))
                    )
                } else if literal.is_none() && self.conf.daemon.dialect != Dialect::Ntp426 {
                    "add `restrict source nomodify noquery`: addresses of names change".to_owned()
                } else {
                    format!("add `restrict {address} nomodify noquery`")
                };
                self.tell(Code::ServerCutOff, Some(association.place), message, Some(&help));
            }
        }
    }

    fn queries(&mut self, hardening: Hardening) {
        let open: Vec<Entry<'_>> = self
            .policy
            .entries
            .iter()
            .filter(|entry| entry.net.is_everything() && !entry.ntpport)
            .filter(|entry| answers_queries(entry))
            .collect();
        let Some(entry) = open.first() else { return };
        let nets: Vec<_> = open.iter().map(|entry| entry.net.to_string()).collect();
        let nets = nets.join(" and ");
        let place = self.first_line(entry);
        let help = "add `noquery` to `restrict default`, and lines for those who may query";
        if self.conf.daemon.dialect == Dialect::Ntp426 {
            self.tell(
                Code::MonlistOpen,
                place,
                format!("monlist is answered for {nets}: up to 100 packets for one"),
                Some(help),
            );
        } else {
            self.tell(Code::QueriesOpen, place, format!("queries are answered for {nets}"), Some(help));
        }
        if hardening.queries == Queries::Listed {
            let message = format!(
                "ntpguard drops queries from {nets} that the daemon would answer, ntpq from afar among them"
            );
            let help = "name those who may query in a line of their own, or give `--queries restrict`";
            self.tell(Code::QueriesBlocked, place, message, Some(help));
        }
    }

    fn left_to_the_daemon(&mut self) {
        let why = if !limits::enforced(&self.conf.limiter) {
            Some("its parameters are beyond what ntpguard can do")
        } else if !self.conf.limits() {
            Some("with `disable monitor` the daemon may not limit at all")
        } else {
            None
        };
        if let (Some(place), Some(why)) = (self.line_with(Flags::LIMITED), why) {
            self.tell(
                Code::LimitedPasses,
                Some(place),
                format!("`limited` is left to the daemon: {why}"),
                None,
            );
        }
        if let Some(place) = self.line_with(Flags::FLAKE) {
            self.tell(Code::FlakePasses, Some(place), "`flake` is left to the daemon", None);
        }
        if self.policy.source.is_some() {
            let line = self.conf.restricts.iter().position(|line| line.target == Target::Source);
            let message = "any address may turn out to be an association's: ntpguard drops only what this line would drop, too";
            self.tell(Code::SourceTemplate, line.map(|line| self.conf.place(line as u32)), message, None);
        }
        for family in [Family::V4, Family::V6] {
            let gap = |entry: &Entry<'_>| entry.net.family() == family && entry.net.prefix().is_none();
            let lost: Vec<Net> = self
                .policy
                .entries
                .iter()
                .filter(gap)
                .skip(Gap::MAX as usize)
                .map(|entry| entry.net)
                .collect();
            if let Some(first) = lost.first() {
                let message = format!(
                    "{} masks with gaps more than ntpguard holds ({}), from {first} on: what they drop passes, and what they open stays open",
                    lost.len(),
                    Gap::MAX
                );
                self.tell(Code::TooManyGaps, None, message, Some("write networks whose masks have no gaps"));
            }
        }
    }
}
