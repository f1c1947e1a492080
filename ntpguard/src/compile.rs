//! Policy → [`Image`]: what goes into the maps, as plain data.
//!
//! Contract: an image is complete; nothing but its flags and rules decides (their lines are for people). The loader
//! copies it into the kernel, and on the host it is itself a [`ntpguard_common::Lookup`], so both give the same
//! verdicts.

use crate::{
    conf::{ConfFile, Flags, Place},
    policy::{Entry, Policy},
};
use ipnet::IpNet;
use ntpguard_common::{
    Reason, Source,
    abi::{Rule, Settings},
};
use std::net::IpAddr;

/// Who may query (modes 6 and 7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Queries {
    /// Sources that a restrict line other than `default` names and lets query: hardening.
    #[default]
    Listed,
    /// Whoever the daemon would answer, by its own reading.
    Restrict,
}

/// What is dropped beyond the daemon's own reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hardening {
    /// Who may query.
    pub queries: Queries,
    /// Whether fragments and sources that can't be are dropped.
    pub packets: bool,
}

impl Hardening {
    /// All of it: the default.
    pub const ALL: Self = Self { queries: Queries::Listed, packets: true };
    /// None: the daemon's bare reading.
    pub const NONE: Self = Self { queries: Queries::Restrict, packets: false };
}

/// A line of ntp.conf that made a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Path, line and column.
    pub place: Place,
    /// The line as written.
    pub text: String,
    /// The flags that this line has.
    pub flags: Flags,
}

/// A prefix and what its sources may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRule {
    /// The prefix.
    pub net: IpNet,
    /// Goes into the map; its index is the rule's place in [`Image::rules`].
    pub rule: Rule,
    /// The lines it comes from; none for a built-in default.
    pub lines: Vec<Line>,
}

impl ImageRule {
    /// The line that is to blame for a drop; `None` if none is (hardening, form).
    pub fn cause(&self, reason: Reason) -> Option<&Line> {
        let flag = match reason {
            Reason::Ignore => Flags::IGNORE,
            Reason::Noserve => Flags::NOSERVE,
            Reason::Noquery => Flags::NOQUERY,
            _ => return None,
        };
        self.lines.iter().find(|line| line.flags.has(flag))
    }
}

/// A compiled policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Bits of [`Settings`].
    pub flags: u32,
    /// The rules, by their index.
    pub rules: Vec<ImageRule>,
}

impl Image {
    /// Compiles a policy; `conf` lends the text of its lines.
    pub fn compile(policy: &Policy, conf: &ConfFile, hardening: Hardening) -> Self {
        let rules: Vec<_> = (0..)
            .zip(&policy.entries)
            .map(|(index, (net, entry))| {
                let blurred = policy.blurred.iter().any(|wide| wide.contains(net));
                let flags = rule_flags(net, entry, policy.source, blurred, hardening.queries);
                let lines = entry.lines.iter().map(|&line| {
                    let restrict = &conf.restricts[line];
                    Line { place: restrict.place, text: restrict.text.clone(), flags: restrict.flags }
                });
                ImageRule { net: *net, rule: Rule { flags, index }, lines: lines.collect() }
            })
            .collect();
        // Rules for sources that no wire brings have no say: they never get as far as a lookup.
        let asked = |rule: &ImageRule| !rule.rule.has(Rule::ANY_NOQUERY) && !is_impossible(&rule.net);
        let nobody = if rules.iter().any(asked) { 0 } else { Settings::NOBODY_QUERIES };
        let hardened = if hardening.packets { Settings::HARDENING } else { 0 };
        Self { flags: Settings::INSTALLED | nobody | hardened, rules }
    }
}

/// On the host: the longest prefix, found by looking at all of them.
impl ntpguard_common::Lookup for Image {
    fn settings(&self) -> Settings {
        Settings { flags: self.flags, slot: 0 }
    }

    fn rule(&self, _slot: u32, source: &Source) -> Option<Rule> {
        let address = match *source {
            Source::V4(octets) => IpAddr::from(octets),
            Source::V6(octets) => IpAddr::from(octets),
        };
        let holding = self.rules.iter().filter(|rule| rule.net.contains(&address));
        holding.max_by_key(|rule| rule.net.prefix_len()).map(|rule| rule.rule)
    }
}

fn rule_flags(net: &IpNet, entry: &Entry, source: Option<Flags>, blurred: bool, queries: Queries) -> u32 {
    let drops = if entry.uncertain || blurred {
        Flags::default()
    } else if let Some(source) = source.filter(|_| net.prefix_len() < net.max_prefix_len()) {
        // An association's address within `net` may have the flags of `restrict source` instead; an entry for
        // just that host stands before it (ntp_restrict.c:restrict_source).
        expanded(entry.flags).shared(expanded(source))
    } else {
        entry.flags
    };
    let bit = |flag, bit| if drops.has(flag) { bit } else { 0 };
    let certain = !entry.uncertain && entry.flags.has(Flags::IGNORE.with(Flags::NOQUERY));
    let listed = net.prefix_len() > 0 && entry.permits && !certain;
    let unlisted = if queries == Queries::Listed && !listed { Rule::UNLISTED } else { 0 };
    bit(Flags::IGNORE, Rule::IGNORE)
        | bit(Flags::NOSERVE, Rule::NOSERVE)
        | bit(Flags::NOQUERY, Rule::NOQUERY)
        | unlisted
}

/// With what `ignore` implies.
fn expanded(flags: Flags) -> Flags {
    if flags.has(Flags::IGNORE) { flags.with(Flags::DROPPING) } else { flags }
}

/// Whether no address in the network can be the source of a packet from a wire. IPv4's ranges are aligned to at
/// least eight bits, so within eight bits the two ends tell; of IPv6 only single hosts are asked.
fn is_impossible(net: &IpNet) -> bool {
    match net {
        IpNet::V4(net) => {
            let ends = [net.network(), net.broadcast()];
            net.prefix_len() >= 8 && ends.iter().all(|end| Source::V4(end.octets()).is_impossible())
        }
        IpNet::V6(net) => net.prefix_len() == 128 && Source::V6(net.network().octets()).is_impossible(),
    }
}
