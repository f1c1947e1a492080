//! Policy → [`Image`]: what goes into the maps, as plain data.
//!
//! Contract: an image is complete; nothing but its flags, ranges and gaps decides (its rules are for people). The
//! loader copies it into the kernel, and on the host it is itself a [`ntpguard_common::Lookup`], so both give the
//! same verdicts.
//!
//! With masks that are prefixes, ntpd's order of entries and the longest prefix come to the same: of two that hold
//! a source, the longer one has the higher address, or an equal one and the higher mask. A mask with gaps may stand
//! anywhere; which rules it stands before is written into them.

use crate::{
    conf::{ConfFile, Family, Flags, Limiter, Place},
    limits::{self, Bounds},
    net::Net,
    policy::{Entry, Policy},
};
use ipnet::IpNet;
use ntpguard_common::{
    Reason, Source, Verdict,
    abi::{Gap, Rule, Rules, Settings},
};
use std::sync::Arc;

mod counters;
mod flat;
mod harden;
mod order;
mod ranges;

pub use counters::Counters;
pub use flat::Flat;
pub use harden::{Harden, Hardening, Queries};
pub use ranges::{Address, Ranges};

use order::Order;

/// A line of ntp.conf that made a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Path, line and column.
    pub place: Place,
    /// The line as written.
    pub text: Arc<str>,
    /// The flags that this line has set, and no later one cleared.
    pub flags: Flags,
}

/// An entry of the daemon's list, and what its sources may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRule {
    /// Whom it speaks of.
    pub net: Net,
    /// Only packets from UDP port 123.
    pub ntpport: bool,
    /// Its index is its place in [`Image::rules`].
    pub rule: Rule,
    /// The lines it comes from; none for a built-in default.
    pub lines: Vec<Line>,
}

impl ImageRule {
    /// The line that is to blame for a drop; `None` if none is (built in, hardening, form).
    pub fn cause(&self, reason: Reason) -> Option<&Line> {
        let flags = match reason {
            Reason::Ignore => Flags::IGNORE,
            Reason::Noserve => Flags::NOSERVE,
            Reason::Noquery => Flags::NOQUERY,
            Reason::Version => Flags::VERSION,
            Reason::Notrust => Flags::NOTRUST,
            Reason::Limited | Reason::Kod => Flags::LIMITED,
            // Nobody may query, so nobody's rule was asked.
            Reason::Mode6 | Reason::Mode7 => Flags::NOQUERY.with(Flags::IGNORE),
            _ => return None,
        };
        self.lines.iter().find(|line| line.flags.has(flags))
    }
}

/// A compiled policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Bits of [`Settings`].
    pub flags: u32,
    /// The daemon's entries, in its order, without those for its own addresses.
    pub rules: Vec<ImageRule>,
    /// Where these are counted.
    pub counters: Counters,
    /// The rules of IPv4's addresses, for packets from any UDP port, and for those from port 123.
    pub v4: [Ranges<u32>; 2],
    /// Those of IPv6's.
    pub v6: [Ranges<u128>; 2],
    /// The entries whose masks have gaps, in the daemon's order, IPv4 and IPv6.
    pub gaps: [Vec<Gap>; 2],
    /// What `limited` means.
    pub limiter: Limiter,
    /// What is limited beside, and how.
    pub bounds: Bounds,
}

impl Image {
    /// Compiles a policy; `conf` lends the text of its lines.
    pub fn compile(policy: &Policy, conf: &ConfFile, hardening: Hardening) -> Self {
        let mut next = 0;
        let ranked: Vec<Ranked<'_>> = policy
            .entries
            .iter()
            .map(|entry| {
                let index = if entry.own { Verdict::NO_RULE } else { next };
                next += u32::from(!entry.own);
                let flags = rule_flags(entry, policy.source, conf, hardening);
                Ranked { entry, rule: Rule { flags, index } }
            })
            .collect();
        let rules: Vec<_> =
            ranked.iter().filter(|ranked| !ranked.entry.own).map(|ranked| ranked.image_rule(conf)).collect();
        let counters = Counters::new(rules.iter().map(|rule| rule.rule.flags));

        let of_family =
            |family| Order::new(ranked.iter().filter(move |ranked| ranked.entry.net.family() == family));
        let (v4, v6) = (of_family(Family::V4), of_family(Family::V6));
        let prefixes = [v4.prefixes(), v6.prefixes()];
        let mut image = Self {
            flags: Settings::INSTALLED | hardening.packets | conf.daemon.setting(),
            rules,
            counters,
            v4: lists(&prefixes[0]),
            v6: lists(&prefixes[1]),
            gaps: [v4.gaps(), v6.gaps()],
            limiter: conf.limiter,
            bounds: Bounds::default(),
        };
        if !image.anyone_queries(prefixes.iter().flatten()) {
            image.flags |= Settings::NOBODY_CONTROL | Settings::NOBODY_PRIVATE;
        }
        // A file that can't be read may say `enable mode7`.
        if !conf.takes_mode7() && (!conf.blind || conf.daemon.is_ntpsec()) {
            image.flags |= Settings::NOBODY_PRIVATE;
        }
        if image.rules.iter().any(|rule| rule.rule.has(Rule::LIMITED))
            && conf.limits()
            && limits::enforced(&conf.limiter)
        {
            image.flags |= Settings::LIMITER;
        }
        image.bounded(Bounds::default())
    }

    /// The same with other bounds.
    #[must_use]
    pub fn bounded(mut self, bounds: Bounds) -> Self {
        self.flags = self.flags & !(Settings::CEILING | Settings::KISSES) | bounds.flags();
        self.bounds = bounds;
        self
    }

    /// Makes it a trial, in which everything passes, or none.
    pub fn monitor(&mut self, trial: bool) {
        self.flags = self.flags & !Settings::MONITOR | if trial { Settings::MONITOR } else { 0 };
    }

    /// Whether any source that a wire may bring may query.
    fn anyone_queries<'a>(&self, mut prefixes: impl Iterator<Item = &'a (IpNet, Rules)>) -> bool {
        // Sources that can't be are nobody only where they are dropped.
        let hardened = self.flags & Settings::HARDEN_SOURCES != 0;
        let own = if hardened { Rule::OWN } else { 0 };
        let may = |rule: Rule| !rule.has(Rule::ANY_NOQUERY | own);
        let by_prefix = prefixes.any(|(net, rules)| {
            (may(rules.any_port) || may(rules.ntp_port)) && !(hardened && harden::is_impossible(net))
        });
        by_prefix || self.gaps.iter().flatten().any(|gap| may(gap.rule))
    }

    /// The rule for a source, as [`ntpguard_common::Lookup`] finds it.
    pub fn rule_of(&self, source: &Source, port: u16) -> Option<&ImageRule> {
        let rule = ntpguard_common::Lookup::rule(self, 0, source, port);
        self.rules.get(rule.index as usize)
    }
}

/// On the host: the range, then the gaps before its rule, as ntpguard-ebpf's rule.rs.
impl ntpguard_common::Lookup for Image {
    fn settings(&self) -> Settings {
        Settings { flags: self.flags, generation: 0 }
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
        let words = Gap::words(source);
        let mut gaps = self.gaps[family as usize].iter().enumerate();
        let first = gaps.find(|(number, gap)| rule.gaps() >> number & 1 != 0 && gap.holds(words));
        first.map_or(rule, |(_, gap)| gap.rule)
    }
}

/// The rules of a family's prefixes by address: for any UDP port, and for port 123.
fn lists<A: Address>(prefixes: &[(IpNet, Rules)]) -> [Ranges<A>; 2] {
    [Ranges::new(prefixes, |rules| rules.any_port), Ranges::new(prefixes, |rules| rules.ntp_port)]
}

/// An entry at its place in the daemon's order.
struct Ranked<'a> {
    entry: &'a Entry,
    rule: Rule,
}

impl Ranked<'_> {
    fn image_rule(&self, conf: &ConfFile) -> ImageRule {
        let Self { entry, rule } = self;
        let lines = entry.lines.iter().map(|&(line, flags)| {
            let restrict = &conf.restricts[line];
            Line { place: restrict.place, text: Arc::clone(&restrict.text), flags }
        });
        ImageRule { net: entry.net, ntpport: entry.ntpport, rule: *rule, lines: lines.collect() }
    }
}

fn rule_flags(entry: &Entry, source: Option<Flags>, conf: &ConfFile, hardening: Hardening) -> u32 {
    let flags = entry.flags;
    let breaks = flags.has(Flags::IGNORE.with(Flags::NOTRUST));
    let drops = match source {
        _ if conf.blind => Flags::NONE,
        // An association's address may have the flags of `restrict source` instead; an entry for just that host
        // stands before it. NTPsec puts one only where the association would break (ntp_restrict.c:restrict_source).
        Some(source) if !entry.net.is_host() && !entry.own && (breaks || !conf.daemon.is_ntpsec()) => {
            flags.expanded().shared(source.expanded())
        }
        _ => flags,
    };
    // A MAC is refused for want of a key; `mssntp`, of a template too, is a way around.
    let template = source.unwrap_or_default();
    let keyless = conf.daemon.is_ntpsec() && !conf.trusts_keys && !conf.blind;
    let no_mac = keyless && !flags.with(template).has(Flags::MSSNTP);
    // `limited` comes before the crypto-NAK is looked at (ntp_proto.c:receive of 4.2.8).
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

/// With what `ignore` implies.
const fn expanded(flags: u32) -> u32 {
    let implied = Rule::NOSERVE
        | Rule::NOQUERY
        | Rule::VERSION
        | Rule::NOTRUST
        | Rule::NO_MAC
        | Rule::NO_KISS
        | Rule::LIMITED;
    if flags & Rule::IGNORE != 0 { flags | implied } else { flags }
}

#[cfg(test)]
mod tests;
