//! ConfFile → [`Policy`]: names resolved, duplicates merged, the two built-in default entries added.
//!
//! Contract: every effect that only some of ntp.org's ntpd 4.2.6, 4.2.8 and NTPsec would have is made permissive
//! here, so that nothing is dropped that any of them would have answered.

use crate::conf::{ConfFile, Diagnostic, Family, Flags, Restrict, Target};
use ipnet::IpNet;
use std::{collections::BTreeMap, io, net::IpAddr};

/// Looks up a name; [`crate::resolve::addresses`] is the real one.
pub type Resolver<'a> = &'a dyn Fn(&str) -> io::Result<Vec<IpAddr>>;

/// What the daemon holds about one network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// All flags of all its lines: a later line never clears one (ntp_restrict.c:hack_restrict).
    pub flags: Flags,
    /// Its lines, as indices into [`ConfFile::restricts`], in file order. None for a built-in entry.
    pub lines: Vec<usize>,
    /// One of the lines, taken alone, lets its sources query.
    pub permits: bool,
    /// The daemons differ about it: it must not drop anything.
    pub uncertain: bool,
}

/// The access control of a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// By network. The two default entries, 0.0.0.0/0 and ::/0, are always there.
    pub entries: BTreeMap<IpNet, Entry>,
    /// The flags of `restrict source`, if such a line exists: any address may turn out to be an association's,
    /// and then has these instead of its own.
    pub source: Option<Flags>,
    /// Nothing in these networks may be dropped: a mask with gaps, cut to its part without.
    pub blurred: Vec<IpNet>,
    /// What an administrator should know beyond [`ConfFile::diagnostics`].
    pub diagnostics: Vec<Diagnostic>,
}

impl Policy {
    /// Applies the lines in order.
    pub fn resolve(conf: &ConfFile, resolver: Resolver<'_>) -> Self {
        let defaults = [Family::V4, Family::V6].map(|family| (everything(family), Entry::default()));
        let mut policy = Self {
            entries: BTreeMap::from(defaults),
            source: None,
            blurred: Vec::new(),
            diagnostics: Vec::new(),
        };
        for (index, restrict) in conf.restricts.iter().enumerate() {
            policy.apply(index, restrict, resolver);
        }
        if conf.blind {
            policy.blurred.extend([Family::V4, Family::V6].map(everything));
        }
        policy
    }

    fn apply(&mut self, index: usize, restrict: &Restrict, resolver: Resolver<'_>) {
        match &restrict.target {
            Target::Source => {
                let flags =
                    if restrict.uncertain || restrict.undoes { Flags::default() } else { restrict.flags };
                self.source = match self.source {
                    None if restrict.undoes => None,
                    None => Some(flags),
                    Some(others) => Some(others.shared(flags)),
                };
            }
            Target::Default => {
                for family in [Family::V4, Family::V6] {
                    if restrict.family.is_none_or(|wanted| wanted == family) {
                        self.merge(everything(family), index, restrict, false);
                    }
                }
            }
            Target::Address(address) => self.network(*address, index, restrict),
            Target::Name(name) => self.name(name, index, restrict, resolver),
        }
    }

    fn network(&mut self, address: IpAddr, index: usize, restrict: &Restrict) {
        match restrict.mask {
            None => self.merge(IpNet::from(address), index, restrict, false),
            Some(mask) => self.masked(address, mask, index, restrict, false),
        }
    }

    fn masked(&mut self, address: IpAddr, mask: IpAddr, index: usize, restrict: &Restrict, uncertain: bool) {
        if Family::of(mask) != Family::of(address) {
            return self.warn(
                restrict,
                "address and mask are of different families: what the daemon does is undefined",
            );
        }
        match ipnet::ip_mask_to_prefix(mask) {
            Ok(length) => self.merge(prefix(address, length), index, restrict, uncertain),
            Err(_) => {
                let net = prefix(address, leading_ones(mask));
                self.blurred.push(net);
                self.merge(net, index, restrict, true);
                self.warn(restrict, "the mask has gaps: nothing is dropped in all of its leading part");
            }
        }
    }

    fn name(&mut self, name: &str, index: usize, restrict: &Restrict, resolver: Resolver<'_>) {
        let addresses = match resolver(name) {
            Ok(addresses) => addresses,
            Err(error) => {
                let message = format!(
                    "`{name}` can't be resolved ({error}): the line has no effect; the rest is enforced"
                );
                return self.warn(restrict, &message);
            }
        };
        let wanted = |address: &&IpAddr| restrict.family.is_none_or(|family| family == Family::of(**address));
        // 4.2.6 takes one address of several, and which one is first changes from look-up to look-up.
        let uncertain = addresses.len() > 1 || restrict.mask.is_some();
        for address in addresses.iter().filter(wanted) {
            self.merge(IpNet::from(*address), index, restrict, uncertain);
            // After a name, 4.2.8 ignores a mask; 4.2.6 and NTPsec apply it to the first address.
            if let Some(mask) = restrict.mask.filter(|mask| Family::of(*mask) == Family::of(*address)) {
                self.masked(*address, mask, index, restrict, true);
            }
        }
    }

    fn merge(&mut self, net: IpNet, index: usize, restrict: &Restrict, uncertain: bool) {
        if restrict.undoes {
            // What isn't there can't be undone.
            if let Some(entry) = self.entries.get_mut(&net) {
                entry.uncertain = true;
            }
            return;
        }
        let entry = self.entries.entry(net).or_default();
        entry.flags = entry.flags.with(restrict.flags);
        entry.lines.push(index);
        entry.permits |= !restrict.flags.has(Flags::IGNORE.with(Flags::NOQUERY));
        // An ntpport entry stands beside the plain one, and the daemons order the two differently.
        entry.uncertain |= uncertain || restrict.uncertain || restrict.flags.has(Flags::NTPPORT);
    }

    fn warn(&mut self, restrict: &Restrict, message: &str) {
        self.diagnostics.push(Diagnostic { place: restrict.place, message: message.to_owned() });
    }
}

/// 0.0.0.0/0 or ::/0.
fn everything(family: Family) -> IpNet {
    match family {
        Family::V4 => IpNet::V4(Default::default()),
        Family::V6 => IpNet::V6(Default::default()),
    }
}

fn prefix(address: IpAddr, length: u8) -> IpNet {
    // Both come from one family, and no length is over its width.
    IpNet::new_assert(address, length).trunc()
}

fn leading_ones(mask: IpAddr) -> u8 {
    let ones = match mask {
        IpAddr::V4(mask) => u32::from(mask).leading_ones(),
        IpAddr::V6(mask) => u128::from(mask).leading_ones(),
    };
    ones as u8
}
