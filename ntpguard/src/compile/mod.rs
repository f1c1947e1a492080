//! Policy → [`Image`]: what goes into the maps, as plain data.
//!
//! Contract: an image is complete: its flags, ranges and non-contiguous masks alone decide (its rules are for people).
//! The loader copies it into the kernel, and on the host it is itself a [`ntpguard_common::Lookup`], so both give the
//! same verdicts.
//!
//! For masks that are prefixes, ntpd's order of entries and the longest prefix match are equivalent: of two entries
//! that contain a source, the longer one has the higher address, or the same address and the higher mask. An entry with
//! a non-contiguous mask may stand anywhere in the order; each rule holds the set of those that precede it.

use crate::{
    conf::{AccessList, Limiter, Passive},
    daemon::{
        family::Family,
        flags::Flags,
        profile::{Mode7, PortOrder, Profile, SourceEntries},
    },
    policy::{
        Entry, Policy, SourceEntry,
        limiter::{self, Bounds},
        network,
    },
};
use ntpguard_common::{
    Source,
    abi::{NonContiguousMask, PolicyWord, Rule},
    associations::{Liveness, Template},
};

mod counters;
mod flat;
mod order;
mod ranges;
mod rules;

pub use crate::policy::hardening::{Harden, Hardening, Queries};
pub use counters::Counters;
pub use flat::Flat;
pub use ranges::{Address, Ranges};
pub use rules::{ImageRule, ImageRules};

use order::{Order, Prefix, expanded};

/// A compiled policy: what the maps hold, as plain data.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// The flags of the policy word: bits of [`PolicyWord`].
    pub flags: u32,
    /// The daemon's entries in its order, without those for its own addresses.
    pub rules: ImageRules,
    /// The positions of the rules' counters.
    pub counters: Counters,
    /// The rules by IPv4 address: for packets from any UDP port, and for those from port 123.
    pub v4: [Ranges<u32>; 2],
    /// The rules by IPv6 address, as for IPv4.
    pub v6: [Ranges<u128>; 2],
    /// The entries whose masks aren't prefixes, in the daemon's order: IPv4 and IPv6.
    pub masks: [Vec<NonContiguousMask>; 2],
    /// What `restrict source` says.
    pub template: Option<Template>,
    /// Addresses that are taken for associations without the daemon having sent anything to them.
    pub associations: Vec<Source>,
    /// The daemon's rate limiter, for sources with `limited`.
    pub limiter: Limiter,
    /// What ntpguard limits in addition to the daemon's limiter.
    pub bounds: Bounds,
}

impl Image {
    /// Compiles a policy; `conf` is the access list that it was resolved from.
    pub fn compile(policy: &Policy, conf: &AccessList, hardening: Hardening) -> Self {
        let doubtful = is_doubtful(policy, conf);
        let flags = |entry: &Entry<'_>| {
            let flags = rule_flags(entry, conf, hardening);
            let yields = policy.source.is_some() && is_lifted(entry, doubtful, conf);
            if yields { expanded(flags) | Rule::YIELDS } else { flags }
        };
        let rules = ImageRules::new(&policy.entries, flags);
        let [v4, v6] = [Family::V4, Family::V6].map(|family| Order::new(&rules, family));
        let mut image = Self {
            flags: PolicyWord::INSTALLED | hardening.packets | conf.profile.behaviours,
            counters: Counters::new(rules.iter().map(|rule| rule.rule.flags)),
            v4: lists(|| v4.prefixes()),
            v6: lists(|| v6.prefixes()),
            masks: [v4.masks(), v6.masks()],
            associations: policy.associations.iter().map(|address| network::source(*address)).collect(),
            template: policy.source.map(|source| template(source, conf)),
            limiter: conf.limiter,
            bounds: Bounds::default(),
            rules: ImageRules::default(),
        };
        if !image.anyone_queries(v4.prefixes().chain(v6.prefixes())) {
            image.flags |= PolicyWord::NOBODY_CONTROL | PolicyWord::NOBODY_PRIVATE;
        }
        image.rules = rules;
        // If a file can't be read, it may say `enable mode7`.
        if !conf.takes_mode_7 && (!conf.blind || conf.profile.mode_7 == Mode7::Never) {
            image.flags |= PolicyWord::NOBODY_PRIVATE;
        }
        if image.rules.iter().any(|rule| rule.rule.has(Rule::LIMITED))
            && conf.limits
            && limiter::enforced(&conf.limiter)
        {
            image.flags |= PolicyWord::LIMITER;
        }
        image.bounded(Bounds::default())
    }

    /// The same image with other bounds.
    #[must_use]
    pub fn bounded(mut self, bounds: Bounds) -> Self {
        self.flags = self.flags & !(PolicyWord::CEILING | PolicyWord::KISSES) | bounds.flags();
        self.bounds = bounds;
        self
    }

    /// Makes it a trial, in which every packet passes, or a filter that enforces.
    pub fn set_trial(&mut self, trial: bool) {
        self.flags = self.flags & !PolicyWord::TRIAL | if trial { PolicyWord::TRIAL } else { 0 };
    }

    /// Whether any source from which a packet may arrive is allowed to query.
    fn anyone_queries(&self, mut prefixes: impl Iterator<Item = Prefix>) -> bool {
        // Impossible sources are excluded only if hardening drops them.
        let hardened = self.flags & PolicyWord::HARDEN_SOURCES != 0;
        let own = if hardened { Rule::OWN } else { 0 };
        let lifts = self.template.map_or(0, |template| template.lifts);
        let may = |rule: Rule| {
            // The source may be an association's.
            let flags = if rule.has(Rule::YIELDS) { rule.flags & !lifts } else { rule.flags };
            flags & (Rule::ANY_NOQUERY | own) == 0
        };
        let by_prefix = prefixes.any(|(net, rules)| {
            (may(rules.any_port) || may(rules.ntp_port))
                && !(hardened && crate::policy::hardening::is_impossible(&net))
        });
        by_prefix || self.masks.iter().flatten().any(|masked| may(masked.rule))
    }

    /// The rule for a source, as [`ntpguard_common::Lookup`] finds it.
    pub fn rule_of(&self, source: &Source, port: u16) -> Option<ImageRule<'_>> {
        let found = ntpguard_common::Lookup::rule(self, 0, source, port);
        let template = self.template.filter(|_| found.has(Rule::YIELDS));
        let rule =
            template.map_or(found, |template| template.rule(self.liveness(source, false), found, port));
        self.rules.get(rule.index as usize)
    }

    /// Whether an address is an association's. `is_uncertain`: the packet may be of one that isn't known.
    fn liveness(&self, source: &Source, is_uncertain: bool) -> Liveness {
        match self.associations.contains(source) {
            true => Liveness::Live,
            false if is_uncertain => Liveness::Unknown,
            false => Liveness::Dead,
        }
    }
}

/// Lookup on the host: the range, then the non-contiguous masks that precede its rule, as in ntpguard-ebpf's rule.rs.
impl ntpguard_common::Lookup for Image {
    fn word(&self) -> PolicyWord {
        PolicyWord { flags: self.flags, generation: 0 }
    }

    fn rule(&self, _slot: u32, source: &Source, port: u16) -> Rule {
        let by_port = usize::from(port == ntpguard_common::wire::ntp::PORT);
        let (family, rule) = match *source {
            Source::V4(address) => (Family::V4, self.v4[by_port].rule(address)),
            Source::V6([high, low]) => {
                (Family::V6, self.v6[by_port].rule(u128::from(high) << 64 | u128::from(low)))
            }
        };
        let Some(rule) = rule else { return Rule::NONE };
        let words = NonContiguousMask::words(source);
        let mut masks = self.masks[family as usize].iter().enumerate();
        let first = masks.find(|(number, masked)| rule.masks() >> number & 1 != 0 && masked.holds(words));
        first.map_or(rule, |(_, masked)| masked.rule)
    }

    fn association(&self, _slot: u32, source: &Source, port: u16, first: u8, found: Rule) -> Rule {
        let Some(template) = self.template else { return found };
        template.rule(self.liveness(source, template.is_uncertain(first)), found, port)
    }
}

/// The rules of a family's prefixes by address: for any UDP port, and for port 123.
fn lists<A: Address, I: Iterator<Item = Prefix>>(prefixes: impl Fn() -> I) -> [Ranges<A>; 2] {
    let any_port = Ranges::new(prefixes().map(|(net, rules)| (net, rules.any_port)));
    // Without `ntpport` lines both lists are the same, and share their memory.
    let same = prefixes().all(|(_, rules)| rules.any_port == rules.ntp_port);
    let by_port = || Ranges::new(prefixes().map(|(net, rules)| (net, rules.ntp_port)));
    let ntp_port = if same { any_port.clone() } else { by_port() };
    [any_port, ntp_port]
}

/// The flags of an entry that are enforced here: all of them, unless some lines are out of reach.
pub fn enforced(flags: Flags, conf: &AccessList) -> Flags {
    if conf.blind { Flags::NONE } else { flags }
}

/// Whether an association's entry by `restrict source` comes before this one. An entry for that single host precedes it
/// in 4.2.8p18, and keeps it from being made before (ntp_restrict.c:restrict_source).
fn is_lifted(entry: &Entry<'_>, doubtful: bool, conf: &AccessList) -> bool {
    let only_cut_off = !doubtful && conf.profile.source_entries == SourceEntries::CutOff;
    let breaks = entry.flags.has(Flags::IGNORE.with(Flags::NOTRUST));
    !conf.blind && !entry.net.is_host() && !entry.own && (breaks || !only_cut_off)
}

/// Whether the daemon makes an association's entry only by what is in force for packets from port 123, and other packets
/// may have another entry.
fn is_doubtful(policy: &Policy, conf: &AccessList) -> bool {
    let Profile { source_entries, port_order, .. } = conf.profile;
    let by_flags = *source_entries == SourceEntries::CutOff;
    let by_port = |entry: &Entry<'_>| entry.ntpport && !entry.own && (by_flags || entry.net.is_host());
    (by_flags || *port_order == PortOrder::First) && policy.entries.iter().any(|entry| by_port(&entry))
}

/// What `restrict source` says, with the rule for it.
fn template(source: SourceEntry, conf: &AccessList) -> Template {
    let modes = |modes: &[u32]| modes.iter().fold(0, |bits, mode| bits | 1 << mode);
    let passive = match conf.passive {
        Passive::Never => 0,
        Passive::WithMac => 1 << (8 + 2),
        Passive::Always => 1 << 2,
    };
    Template {
        lifts: Rule::LIFTED & !expanded(bits(source.flags, false, conf)),
        opening: modes(&[1, 3, 5]) | passive | if source.ntpport { Template::NTP_PORT } else { 0 },
        uncertain: if conf.hears_broadcasts { modes(&[5]) } else { 0 },
    }
}

fn rule_flags(entry: &Entry<'_>, conf: &AccessList, hardening: Hardening) -> u32 {
    bits(entry.flags, hardening.queries == Queries::Listed && !entry.permits_queries(), conf)
}

/// The bits of [`Rule`] for an entry with these flags.
fn bits(flags: Flags, unlisted: bool, conf: &AccessList) -> u32 {
    let drops = enforced(flags, conf);
    // The daemon refuses a MAC if it has no key; `mssntp` lets it in another way.
    let keyless = conf.profile.discards_unknown_macs && !conf.trusts_any_key && !conf.blind;
    let no_mac = keyless && !flags.has(Flags::MSSNTP);
    // The daemon checks `limited` before the crypto-NAK (ntp_proto.c:receive of 4.2.8).
    let kissed = flags.has(Flags::LIMITED) && flags.has(Flags::KOD);
    let no_kiss = !kissed && !conf.blind;
    [
        (drops.has(Flags::IGNORE), Rule::IGNORE),
        (drops.has(Flags::NOSERVE), Rule::NOSERVE),
        (drops.has(Flags::NOQUERY), Rule::NOQUERY),
        (drops.has(Flags::VERSION), Rule::VERSION),
        (drops.has(Flags::NOTRUST), Rule::NOTRUST),
        (no_mac, Rule::NO_MAC),
        (no_kiss, Rule::NO_KISS),
        (unlisted, Rule::UNLISTED),
        (drops.has(Flags::LIMITED), Rule::LIMITED),
    ]
    .iter()
    .fold(0, |flags, (set, bit)| if *set { flags | bit } else { flags })
}

#[cfg(test)]
mod tests;
