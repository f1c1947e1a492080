//! The changes that lines make to entries, and the entries that result.
//!
//! Contract: lines for different entries don't affect each other. So changes are sorted by entry, in the daemon's
//! order, and those of one entry are applied in the order of the file.

use super::entries::{Entries, Entry, Line};
use crate::{
    conf::{AccessList, Action},
    daemon::{family::Family, flags::Flags, profile::PortOrder},
    policy::network::Net,
};
use std::cmp::Ordering;

/// Why an entry exists, or has changed; in the order in which that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// The daemon starts with the entry.
    BuiltIn,
    /// The entry is for one of the daemon's own addresses.
    Own,
    /// A line, as an index into [`AccessList::lines`].
    Line(u32),
}

/// A change to an entry. An entry is identified by its network, by `ntpport`, and by whether it is for an own address
/// (ntp_restrict.c:hack_restrict).
pub(super) struct Change {
    pub(super) net: Net,
    pub(super) ntpport: bool,
    /// Whether it is uncertain that the change applies to this entry.
    pub(super) doubtful: bool,
    pub(super) cause: Cause,
}

impl Change {
    fn own(&self) -> bool {
        self.cause == Cause::Own
    }

    fn is_of_entry(&self, other: &Self) -> bool {
        (self.net, self.ntpport, self.own()) == (other.net, other.ntpport, other.own())
    }

    /// The daemon's order: by address, then by mask, then by match flags, all descending (ntp_restrict.c:
    /// res_sorts_before4, mflags_sorts_before; the bits are those of ntp.h, that of an own address being the higher
    /// one). Where `ntpport` entries are in the order of lines, [`entries`] sorts them.
    fn order(&self, other: &Self) -> Ordering {
        let descending = |it: &Self| (it.net.address(), it.net.mask(), it.own(), it.ntpport);
        let by_family = self.net.family().cmp(&other.net.family());
        let by_rank = || descending(other).cmp(&descending(self));
        by_family.then_with(by_rank).then_with(|| self.cause.cmp(&other.cause))
    }
}

/// An entry under construction, and the first change that created it.
struct Making {
    flags: Flags,
    doubtful: bool,
    since: Cause,
}

/// The entries that result from all changes.
pub(super) fn entries(mut changes: Vec<Change>, conf: &AccessList) -> Entries {
    // Changes with the same entry and the same line are equal, so an unstable sort suffices.
    changes.sort_unstable_by(Change::order);
    let v4 = changes.partition_point(|change| change.net.family() == Family::V4);
    let mut entries = Entries::with_capacity(v4, changes.len() - v4);
    let mut lines = Vec::new();
    // The previous entry, and the change that created it.
    let mut before: Option<(&Change, Cause)> = None;
    for same in changes.chunk_by(Change::is_of_entry) {
        lines.clear();
        let Some(Making { flags, doubtful, since }) = made(same, conf, &mut lines) else { continue };
        let change @ Change { net, ntpport, .. } = &same[0];
        let own = change.own();
        entries.push(Entry { net: *net, ntpport: *ntpport, own, flags, lines: &lines, doubtful });
        let later = |(other, made): (&Change, Cause)| other.net == *net && !other.own() && since < made;
        if conf.profile.port_order == PortOrder::ByLine && before.is_some_and(later) {
            entries.swap_last(net.family());
        }
        before = Some((change, since));
    }
    entries.shrink();
    entries
}

/// The entry that results from these changes, if it exists in the end; its lines are put into `lines`.
fn made(changes: &[Change], conf: &AccessList, lines: &mut Vec<Line>) -> Option<Making> {
    let mut made: Option<Making> = None;
    for &Change { net, ntpport, doubtful, cause } in changes {
        let start = |flags| Some(Making { flags, doubtful: false, since: cause });
        let index = match cause {
            Cause::BuiltIn => {
                made = start(conf.profile.built_in_default);
                continue;
            }
            Cause::Own => {
                made = start(Flags::IGNORE);
                continue;
            }
            Cause::Line(index) => index,
        };
        let line = &conf.lines[index as usize];
        let flags = line.flags.without(Flags::NTPPORT).without(conf.profile.inert);
        match line.action {
            Action::Add => {
                let entry = made.get_or_insert(Making { flags, doubtful, since: cause });
                // Uncertain flags drop nothing, except in an entry that is doubtful as a whole.
                if entry.doubtful && !doubtful {
                    entry.flags = flags;
                } else if entry.doubtful == doubtful {
                    entry.flags = entry.flags.with(flags);
                }
                entry.doubtful &= doubtful;
                lines.push(Line { index, flags });
            }
            Action::Unrestrict if flags != Flags::NONE || ntpport => {
                if let Some(entry) = &mut made {
                    entry.flags = entry.flags.without(flags);
                    lines.iter_mut().for_each(|line| line.flags = line.flags.without(flags));
                }
            }
            // The built-in default entries can't be removed.
            Action::Unrestrict | Action::Delete if net.is_everything() => (),
            Action::Unrestrict | Action::Delete => match &mut made {
                Some(entry) if doubtful => entry.doubtful = true,
                _ => {
                    made = None;
                    lines.clear();
                }
            },
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use crate::{
        conf::ntp,
        daemon::dialect::{Daemon, Dialect, Ordering},
        policy::Policy,
    };
    use std::path::Path;

    /// Whether the entries for 192.0.2.1 are those with `ntpport`, in their order.
    fn ports(text: &str, daemon: Daemon) -> Vec<bool> {
        let conf = ntp::parse(Path::new("ntp.conf"), text.as_bytes(), daemon).unwrap();
        let policy = Policy::resolve(&conf, &|_| unreachable!("no names"), &[]);
        let entries = policy.entries.iter().filter(|entry| entry.net.is_host());
        entries.map(|entry| entry.ntpport).collect()
    }

    #[test]
    fn only_4_2_8p18_keeps_the_order_of_lines_for_ntpport() {
        let p18 = Daemon::new(Dialect::Ntp428);
        let p17 = Daemon { ordering: Ordering::P17, ..p18 };
        let (plain, port) = ("restrict 192.0.2.1 ignore\n", "restrict 192.0.2.1 noquery ntpport\n");
        let anew = &format!("{plain}{port}delrestrict 192.0.2.1\n{plain}");
        for (text, wanted) in [
            (&format!("{plain}{port}"), [false, true]),
            (&format!("{port}{plain}"), [true, false]),
            // An entry that is created again comes last.
            (anew, [true, false]),
        ] {
            assert_eq!(ports(text, p18), wanted, "{text}");
        }
        assert_eq!(ports(&format!("{plain}{port}"), p17), [true, false]);
    }
}
