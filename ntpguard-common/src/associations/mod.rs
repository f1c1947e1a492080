//! Live associations: which addresses this host's daemon talks to, learnt from the packets that leave this host.
//!
//! `restrict source` gives every association an entry of its own in the daemon's access list. The addresses of
//! associations are known only while the daemon runs, since names and pools resolve to other addresses every day. But a
//! daemon that wants an answer sends a request first.
//!
//! [`learn`] notes a packet that leaves for or from UDP port 123, a [`Departure`]. [`rule`] finds the rule of a packet
//! that arrives.
//!
//! Contract: what isn't known, or finds no place in the table, makes the filter drop less, never more. If an association
//! finds no place, any address may be an association's for as long as its entry would have lived
//! ([`Learning::open_until`]).

mod departure;
mod table;
mod template;

pub use departure::Departure;
pub use table::{Association, Origin, Set};
pub use template::{Liveness, Template};

use crate::{
    Source,
    abi::{Learning, Rule},
    hash::{Seed, hash},
};

/// Where associations are kept: maps in the kernel, a model on the host.
pub trait AssociationState {
    /// The key of the hash over addresses.
    fn seed(&self, slot: u32) -> Option<Seed>;
    /// What `restrict source` says, in a slot.
    fn template(&self, slot: u32) -> Option<Template>;
    /// The set of places for a key.
    fn associations(&self, key: u64) -> Option<&Set>;
    /// The epoch, and until when not all associations are known.
    fn learning(&self) -> Option<&Learning>;
}

/// Notes a packet that leaves. `is_daemons`: the daemon whose policy is enforced has sent it.
///
/// If the packet opens an association, the association is kept under its peer's address. Any other packet is kept under
/// its addresses and ports alone, and makes nothing pass.
#[inline(always)]
pub fn learn<S: AssociationState>(
    departure: &Departure,
    is_daemons: bool,
    slot: u32,
    state: &S,
) -> Option<()> {
    let (seed, learning) = (state.seed(slot)?, state.learning()?);
    let opens = is_daemons && departure.opens(state.template(slot)?);
    let key = if opens { key(seed, &departure.peer) } else { departure.key(seed) };
    let now = learning.epoch.get();
    let until = now.wrapping_add(departure.life(opens));
    let set = state.associations(key)?;
    let origin = if opens { Origin::Departure } else { Origin::Other };
    if set.note(key, origin, departure, now, until) {
        return Some(());
    }
    learning.full.add(1);
    if opens && learning.open_until.get() < until {
        learning.open_until.set(until);
    }
    Some(())
}

/// The rule for a packet that arrives: `found`, the rule that the access list has for its source, without what
/// `restrict source` lifts if the source is or may be an association's. `first` is the packet's first byte.
#[inline(always)]
pub fn rule<S: AssociationState>(
    found: Rule,
    source: &Source,
    port: u16,
    first: u8,
    slot: u32,
    state: &S,
) -> Rule {
    let Some(template) = state.template(slot) else { return found };
    let Some(learning) = state.learning() else { return template.rule(Liveness::Unknown, found, port) };
    let now = learning.epoch.get();
    let set = state.seed(slot).map(|seed| key(seed, source));
    let set = set.and_then(|key| Some((key, state.associations(key)?)));
    let liveness = match set {
        Some((key, set)) if set.is_live(key, now) => Liveness::Live,
        Some(_) if learning.open_until.get() <= now && !template.is_uncertain(first) => Liveness::Dead,
        _ => Liveness::Unknown,
    };
    match liveness {
        Liveness::Live => learning.live.add(1),
        Liveness::Unknown => learning.unknown.add(1),
        Liveness::Dead => (),
    }
    template.rule(liveness, found, port)
}

/// The key under which the daemon's association with an address is kept, whatever its port; never 0.
#[inline(always)]
pub fn key(seed: Seed, peer: &Source) -> u64 {
    match hash(seed, peer) {
        0 => 1,
        key => key,
    }
}

#[cfg(test)]
mod tests;
