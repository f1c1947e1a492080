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
    conf::{AccessList, Limiter},
    daemon::{
        family::Family,
        flags::Flags,
        profile::{Mode7, SourceEntries},
    },
    policy::{
        Entry, Policy,
        limiter::{self, Bounds},
    },
};
use ntpguard_common::{
    Source,
    abi::{NonContiguousMask, PolicyWord, Rule},
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

use order::{Order, Prefix};

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
    /// The daemon's rate limiter, for sources with `limited`.
    pub limiter: Limiter,
    /// What ntpguard limits in addition to the daemon's limiter.
    pub bounds: Bounds,
}

impl Image {
    /// Compiles a policy; `conf` is the access list that it was resolved from.
    pub fn compile(policy: &Policy, conf: &AccessList, hardening: Hardening) -> Self {
        let rules =
            ImageRules::new(&policy.entries, |entry| rule_flags(entry, policy.source, conf, hardening));
        let [v4, v6] = [Family::V4, Family::V6].map(|family| Order::new(&rules, family));
        let mut image = Self {
            flags: PolicyWord::INSTALLED | hardening.packets | conf.profile.behaviours,
            counters: Counters::new(rules.iter().map(|rule| rule.rule.flags)),
            v4: lists(|| v4.prefixes()),
            v6: lists(|| v6.prefixes()),
            masks: [v4.masks(), v6.masks()],
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
        let may = |rule: Rule| !rule.has(Rule::ANY_NOQUERY | own);
        let by_prefix = prefixes.any(|(net, rules)| {
            (may(rules.any_port) || may(rules.ntp_port))
                && !(hardened && crate::policy::hardening::is_impossible(&net))
        });
        by_prefix || self.masks.iter().flatten().any(|masked| may(masked.rule))
    }

    /// The rule for a source, as [`ntpguard_common::Lookup`] finds it.
    pub fn rule_of(&self, source: &Source, port: u16) -> Option<ImageRule<'_>> {
        let rule = ntpguard_common::Lookup::rule(self, 0, source, port);
        self.rules.get(rule.index as usize)
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

/// The flags of an entry that are enforced here. The rest is left to the daemon: flags that an entry by
/// `restrict source` (with the flags `source`) may lift, and all flags where some lines are out of reach.
pub fn enforced(entry: &Entry<'_>, source: Option<Flags>, conf: &AccessList) -> Flags {
    let flags = entry.flags;
    let only_cut_off = conf.profile.source_entries == SourceEntries::CutOff;
    let breaks = flags.has(Flags::IGNORE.with(Flags::NOTRUST));
    match source {
        _ if conf.blind => Flags::NONE,
        // An association's address may have the flags of `restrict source` instead. An entry for that single host
        // precedes those.
        Some(source) if !entry.net.is_host() && !entry.own && (breaks || !only_cut_off) => {
            flags.expanded().shared(source.expanded())
        }
        _ => flags,
    }
}

fn rule_flags(entry: &Entry<'_>, source: Option<Flags>, conf: &AccessList, hardening: Hardening) -> u32 {
    let flags = entry.flags;
    let drops = enforced(entry, source, conf);
    // The daemon refuses a MAC if it has no key; `mssntp`, also in `restrict source`, lets it in another way.
    let template = source.unwrap_or_default();
    let keyless = conf.profile.discards_unknown_macs && !conf.trusts_any_key && !conf.blind;
    let no_mac = keyless && !flags.with(template).has(Flags::MSSNTP);
    // The daemon checks `limited` before the crypto-NAK (ntp_proto.c:receive of 4.2.8).
    let kissed = |flags: Flags| flags.has(Flags::LIMITED) && flags.has(Flags::KOD);
    let no_kiss = !kissed(flags) && !kissed(template) && !conf.blind;
    let unlisted = hardening.queries == Queries::Listed && !entry.permits_queries();
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
