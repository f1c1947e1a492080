//! The rules of an image: the daemon's entries, shared with the policy, and the flags that the maps hold for each.

use crate::{
    daemon::flags::Flags,
    policy::{Entries, Entry, Line, network::Net},
};
use ntpguard_common::{Reason, Verdict, abi::Rule};
use std::sync::Arc;

/// An entry of the daemon's list, and its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageRule<'a> {
    /// The addresses that it is for.
    pub net: Net,
    /// Whether it is only for packets from UDP port 123.
    pub ntpport: bool,
    /// The rule; its index is the position in [`super::Image::rules`].
    pub rule: Rule,
    /// The lines that made it; none for a built-in default.
    pub lines: &'a [Line],
}

impl<'a> ImageRule<'a> {
    /// The line to blame for a drop; `None` if no line is (a built-in entry, hardening, a packet's form).
    pub fn cause(&self, reason: Reason) -> Option<&'a Line> {
        let flags = match reason {
            Reason::Ignore => Flags::IGNORE,
            Reason::Noserve => Flags::NOSERVE,
            Reason::Noquery => Flags::NOQUERY,
            Reason::Version => Flags::VERSION,
            Reason::Notrust => Flags::NOTRUST,
            Reason::Limited | Reason::Kod => Flags::LIMITED,
            // These drops happen when no source may query, without looking up a rule.
            Reason::Mode6 | Reason::Mode7 => Flags::NOQUERY.with(Flags::IGNORE),
            // These pass, or are dropped for their form, by hardening or by --max-rate.
            Reason::Time
            | Reason::Query
            | Reason::Unread
            | Reason::NoPolicy
            | Reason::Untracked
            | Reason::Encapsulated
            | Reason::ImpossibleSource
            | Reason::SourcePort
            | Reason::Fragment
            | Reason::Malformed
            | Reason::Mode
            | Reason::Mac
            | Reason::Response
            | Reason::BadQuery
            | Reason::Overload
            | Reason::Tags
            | Reason::Extensions
            | Reason::Segments => return None,
        };
        self.lines.iter().find(|line| line.flags.has(flags))
    }
}

/// The daemon's entries in its order. Entries for the daemon's own addresses aren't rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageRules {
    entries: Arc<Entries>,
    /// For each entry, the bits of [`Rule`].
    flags: Vec<u32>,
    /// The positions of the entries for the daemon's own addresses.
    own: Vec<u32>,
}

/// An entry, its position, and its rule in the maps.
#[derive(Clone, Copy)]
pub(super) struct Ranked<'a> {
    /// Its position in the daemon's order.
    pub(super) place: usize,
    pub(super) entry: Entry<'a>,
    /// Its rule; the index is [`Verdict::NO_RULE`] if it isn't a rule.
    pub(super) rule: Rule,
}

impl<'a> From<Ranked<'a>> for ImageRule<'a> {
    fn from(Ranked { entry: Entry { net, ntpport, lines, .. }, rule, .. }: Ranked<'a>) -> Self {
        Self { net, ntpport, rule, lines }
    }
}

impl ImageRules {
    /// The rules for all entries; `flags` gives the bits of [`Rule`] for an entry.
    pub(super) fn new(entries: &Arc<Entries>, flags: impl Fn(&Entry<'_>) -> u32) -> Self {
        let own = entries.iter().enumerate().filter(|(_, entry)| entry.own);
        Self {
            own: own.map(|(place, _)| place as u32).collect(),
            flags: entries.iter().map(|entry| flags(&entry)).collect(),
            entries: Arc::clone(entries),
        }
    }

    /// The number of rules.
    pub fn len(&self) -> usize {
        self.flags.len() - self.own.len()
    }

    /// Whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rule with this index.
    pub fn get(&self, rule: usize) -> Option<ImageRule<'_>> {
        let past = |place, own: &u32| if *own as usize <= place { place + 1 } else { place };
        self.ranked(self.own.iter().fold(rule, past)).map(ImageRule::from)
    }

    /// All rules, in the order of their indices.
    pub fn iter(&self) -> impl Iterator<Item = ImageRule<'_>> {
        let all = (0..self.entries.len()).filter_map(|place| self.ranked(place));
        all.filter(|ranked| !ranked.entry.own).map(ImageRule::from)
    }

    /// All entries, including those for own addresses.
    pub(super) fn entries(&self) -> &Entries {
        &self.entries
    }

    /// The entry at a position of the daemon's order.
    pub(super) fn ranked(&self, place: usize) -> Option<Ranked<'_>> {
        let entry = self.entries.get(place)?;
        let before = || self.own.partition_point(|own| (*own as usize) < place);
        let index = if entry.own { Verdict::NO_RULE } else { (place - before()) as u32 };
        Some(Ranked { place, entry, rule: Rule { flags: self.flags[place], index } })
    }
}
