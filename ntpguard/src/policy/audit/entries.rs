//! Entries that don't do what their lines seem to say.

use super::Audit;
use crate::{
    conf::diagnostic::Code,
    daemon::{family::Family, flags::Flags},
    policy::Entry,
};

impl Audit<'_> {
    pub(super) fn merged(&mut self) {
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
                self.add(
                    Code::Merged,
                    Some(self.place(last)),
                    message,
                    Some("a line never takes a flag back"),
                );
            }
        }
    }

    pub(super) fn unreachable(&mut self) {
        let entries = &self.policy.entries;
        for (place, entry) in entries.iter().enumerate() {
            let twin = |other: Entry<'_>| other.net == entry.net && !other.ntpport;
            let mut before = (place.saturating_sub(2)..place).filter_map(|place| entries.get(place));
            if entry.ntpport && !entry.own && before.any(twin) {
                let message = format!(
                    "never reached: the daemon comes to the entry for {} without `ntpport` first",
                    entry.net
                );
                let help =
                    "put the line with `ntpport` before the one without; for `default` there is no way";
                self.add(Code::UnreachableNtpport, self.first_line(&entry), message, Some(help));
            }
        }
    }

    pub(super) fn limited(&mut self) {
        for entry in self.policy.entries.iter() {
            if entry.flags.has(Flags::KOD) && !entry.flags.has(Flags::LIMITED) {
                let line = entry.lines.iter().find(|line| line.flags.has(Flags::KOD));
                let place = line.map(|line| self.place(line));
                let message = "`kod` does nothing without `limited`";
                self.add(Code::KodWithoutLimited, place, message, Some("add `limited`"));
            }
        }
    }

    pub(super) fn families(&mut self) {
        let defaults = self.policy.entries.iter().filter(|entry| entry.net.is_everything() && !entry.ntpport);
        let named: Vec<_> = defaults.filter(|entry| !entry.lines.is_empty()).collect();
        if let [entry] = named[..] {
            let of = |family| entry.net.family() == family;
            let last = entry.lines.last().map(|line| self.place(line));
            let (named, other, option) =
                if of(Family::V4) { ("IPv4", "IPv6", "-6") } else { ("IPv6", "IPv4", "-4") };
            let message = format!("the default of {named} alone: {other} stays as it is built in");
            let help = format!("add a line with `restrict {option} default`, or leave the family away");
            self.add(Code::OneFamily, last, message, Some(&help));
        }
    }
}
