//! The rules of an image: the daemon's entries, shared with the policy that they come from, and what the maps say of each.

use crate::{
    daemon::flags::Flags,
    policy::{Entries, Entry, Line, network::Net},
};
use ntpguard_common::{Reason, Verdict, abi::Rule};
use std::sync::Arc;

/// An entry of the daemon's list, and what its sources may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageRule<'a> {
    /// Whom it speaks of.
    pub net: Net,
    /// Only packets from UDP port 123.
    pub ntpport: bool,
    /// Its index is its place in [`super::Image::rules`].
    pub rule: Rule,
    /// The lines it comes from; none for a built-in default.
    pub lines: &'a [Line],
}

impl<'a> ImageRule<'a> {
    /// The line that is to blame for a drop; `None` if none is (built in, hardening, form).
    pub fn cause(&self, reason: Reason) -> Option<&'a Line> {
        let flags = match reason {
            Reason::Ignore => Flags::IGNORE,
            Reason::Noserve => Flags::NOSERVE,
            Reason::Noquery => Flags::NOQUERY,
            Reason::Version => Flags::VERSION,
            Reason::Notrust => Flags::NOTRUST,
            Reason::Limited | Reason::Kod => Flags::LIMITED,
            // Nobody may query, so nobody's rule was asked.
            Reason::Mode6 | Reason::Mode7 => Flags::NOQUERY.with(Flags::IGNORE),
            // They pass, or are dropped by their form, by hardening or above --max-rate.
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

/// The daemon's entries, in its order. Those for its own addresses are no rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageRules {
    entries: Arc<Entries>,
    /// Of each entry, bits of [`Rule`].
    flags: Vec<u32>,
    /// The places of the own entries.
    own: Vec<u32>,
}

/// An entry, and what the maps say of it.
#[derive(Clone, Copy)]
pub(super) struct Ranked<'a> {
    /// Its place in the daemon's order.
    pub(super) place: usize,
    pub(super) entry: Entry<'a>,
    /// Without an index if it is no rule.
    pub(super) rule: Rule,
}

impl<'a> From<Ranked<'a>> for ImageRule<'a> {
    fn from(Ranked { entry: Entry { net, ntpport, lines, .. }, rule, .. }: Ranked<'a>) -> Self {
        Self { net, ntpport, rule, lines }
    }
}

impl ImageRules {
    /// Of all entries, `flags` says what the maps say of one.
    pub(super) fn new(entries: &Arc<Entries>, flags: impl Fn(&Entry<'_>) -> u32) -> Self {
        let own = entries.iter().enumerate().filter(|(_, entry)| entry.own);
        Self {
            own: own.map(|(place, _)| place as u32).collect(),
            flags: entries.iter().map(|entry| flags(&entry)).collect(),
            entries: Arc::clone(entries),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.flags.len() - self.own.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The one at a place.
    pub fn get(&self, rule: usize) -> Option<ImageRule<'_>> {
        let past = |place, own: &u32| if *own as usize <= place { place + 1 } else { place };
        self.ranked(self.own.iter().fold(rule, past)).map(ImageRule::from)
    }

    /// All, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = ImageRule<'_>> {
        let all = (0..self.entries.len()).filter_map(|place| self.ranked(place));
        all.filter(|ranked| !ranked.entry.own).map(ImageRule::from)
    }

    /// All entries.
    pub(super) fn entries(&self) -> &Entries {
        &self.entries
    }

    /// The entry at a place of the daemon's order.
    pub(super) fn ranked(&self, place: usize) -> Option<Ranked<'_>> {
        let entry = self.entries.get(place)?;
        let before = || self.own.partition_point(|own| (*own as usize) < place);
        let index = if entry.own { Verdict::NO_RULE } else { (place - before()) as u32 };
        Some(Ranked { place, entry, rule: Rule { flags: self.flags[place], index } })
    }
}
