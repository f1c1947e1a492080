//! Which hosts may query, and what the answers give away.

use super::{Audit, answers_queries};
use crate::{
    compile::{Hardening, Queries},
    conf::diagnostic::Code,
    daemon::{flags::Flags, profile::PortOrder},
    policy::Entry,
};

impl Audit<'_> {
    /// Whether any other host than this one may query.
    fn queried(&self) -> bool {
        let afar = |entry: &Entry<'_>| !entry.net.address().is_loopback();
        self.policy.entries.iter().filter(afar).any(|entry| answers_queries(&entry))
    }

    fn limits_anyone(&self) -> bool {
        self.policy.entries.iter().any(|entry| entry.flags.has(Flags::LIMITED))
    }

    /// Whether the daemon has a list of clients that mode 7 can return. `disable monitor` keeps it empty, unless a
    /// `limited` flag undoes that (ntp_restrict.c:hack_restrict, ntp_request.c:mon_getlist_1).
    fn hands_out_clients(&self) -> bool {
        let kept = self.conf.monitor_off.is_none() || self.limits_anyone();
        self.conf.profile.monlist && kept
    }

    pub(super) fn switches(&mut self) {
        if let Some(place) = self.conf.auth_off
            && self.conf.takes_mode_7
            && self.queried()
        {
            let message =
                "mode 7 needs no key now, and doesn't heed `nomodify`: anyone who may query may configure";
            let help = "say `noquery`, or leave authentication on";
            self.add(Code::NomodifyWithoutAuth, Some(place), message, Some(help));
        }
        if let Some(place) = self.conf.monitor_off.filter(|_| self.limits_anyone()) {
            let line = match self.line_with(Flags::LIMITED) {
                Some(place) => self.conf.show(place).to_string(),
                None => "built in".to_owned(),
            };
            let message = format!("`limited` ({line}) keeps the monitor list on");
            let monlist = self.hands_out_clients() && self.queried();
            let help = monlist.then_some("what keeps monlist from being answered is `noquery`");
            self.add(Code::MonitorWithLimited, Some(place), message, help);
        }
    }

    pub(super) fn queries(&mut self, hardening: Hardening) {
        // If entries are in the order of lines, the built-in default precedes any for port 123 only.
        let by_line = self.conf.profile.port_order == PortOrder::ByLine;
        let reached = |entry: &Entry<'_>| !(entry.ntpport && by_line);
        let open: Vec<Entry<'_>> = self
            .policy
            .entries
            .iter()
            .filter(|entry| entry.net.is_everything() && reached(entry))
            .filter(|entry| answers_queries(entry))
            .collect();
        let Some(entry) = open.first() else { return };
        let net = |entry: &Entry<'_>| match entry.ntpport {
            true => format!("{} (from port 123)", entry.net),
            false => entry.net.to_string(),
        };
        let nets: Vec<_> = open.iter().map(net).collect();
        let nets = nets.join(" and ");
        let place = self.first_line(entry);
        let help = self.help_to_close(entry);
        if self.hands_out_clients() {
            let message = format!("monlist is answered for {nets}: up to 100 packets for one");
            self.add(Code::MonlistOpen, place, message, Some(&help));
        } else {
            self.add(Code::QueriesOpen, place, format!("queries are answered for {nets}"), Some(&help));
        }
        if hardening.queries == Queries::Listed {
            let message = format!(
                "ntpguard drops queries from {nets} that the daemon would answer, ntpq from afar among them"
            );
            let help = "name those who may query in a line of their own, or give `--queries restrict`";
            self.add(Code::QueriesBlocked, place, message, Some(help));
        }
    }

    /// Advice on what to write so that a default entry no longer permits queries.
    fn help_to_close(&self, entry: &Entry<'_>) -> String {
        if entry.lines.is_empty() && self.conf.profile.built_in_default.has(Flags::NOQUERY) {
            return "`noquery` is built in: leave the line away that lifts it by `unrestrict`".to_owned();
        }
        let mut found = self.conf.diagnostics.iter().chain(&self.policy.diagnostics);
        let lost = found.any(|found| found.code.loses_restrict());
        let line = match entry.lines.is_empty() {
            true if lost => {
                "mend the lines above that the daemon drops; if none is for `default`, add `restrict default nomodify \
                 notrap noquery`"
            }
            true => "add `restrict default nomodify notrap noquery`",
            false => "add `noquery` to `restrict default`",
        };
        format!("{line}, and lines for those who may query")
    }
}
