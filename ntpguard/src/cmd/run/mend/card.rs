//! Events on a card by which its driver may lose the filter.
//!
//! Contract: pure functions. A card is considered only if its driver may lose a program, and only the events that its row
//! of the table names count: with some drivers a replacement resets the link, which mustn't be taken for another loss.

use crate::host::{
    driver::{Driver, Loss},
    interface::Interface,
};

/// A card whose driver may lose the filter: the guarded interface itself, or a lower device that runs the filter for it.
#[derive(Clone, Debug)]
pub(super) struct Card {
    index: u32,
    name: String,
    driver: &'static Driver,
    mtu: u32,
    /// Counts when the interface is set down and up, or loses the carrier while its rings are rebuilt.
    carrier_changes: u32,
    /// Number of virtual functions that carry its packets.
    functions: usize,
}

/// All cards of an interface: in native mode a bond passes the program on to its members, and hv_netvsc to its virtual function.
pub(super) fn cards(
    all: &[Interface],
    interface: &Interface,
    driver: impl Fn(&Interface) -> Option<&'static Driver>,
) -> Vec<Card> {
    let below = |index| all.iter().filter(move |one| one.master == Some(index));
    let of = |one: &Interface| {
        Some(Card {
            index: one.index,
            name: one.name.clone(),
            driver: driver(one).filter(|driver| driver.loses())?,
            mtu: one.mtu,
            carrier_changes: one.carrier_changes,
            functions: below(one.index).count(),
        })
    };
    [interface].into_iter().chain(below(interface.index)).filter_map(of).collect()
}

/// The event between two states of the cards by which a driver may have lost the filter, as a message. A card that is new
/// in the second state got the filter when it was added.
pub(super) fn lost(before: &[Card], now: &[Card]) -> Option<String> {
    now.iter().find_map(|now| {
        let before = before.iter().find(|before| before.index == now.index)?;
        let loses = |losses: &[Loss]| losses.iter().any(|loss| now.driver.losses.contains(loss));
        let link = [Loss::LinkUp, Loss::Rings, Loss::Reset, Loss::Migration];
        let what = if before.mtu != now.mtu && loses(&[Loss::Mtu]) {
            "its MTU changed"
        } else if before.carrier_changes != now.carrier_changes && loses(&link) {
            "its link changed"
        } else if before.functions != now.functions && loses(&[Loss::VirtualFunction]) {
            "its virtual function came or went"
        } else {
            return None;
        };
        Some(now.words(what))
    })
}

impl Card {
    /// The message that the card's driver may have lost the filter at an event.
    fn words(&self, what: &str) -> String {
        let driver = self.driver.names.first().copied().unwrap_or_default();
        format!("{driver} may have lost the filter when {what} ({})", self.name)
    }
}

/// The message that one of these drivers may have lost the filter while the machine was suspended; `None` if none of them
/// loses it then.
pub(super) fn lost_asleep(cards: &[Card]) -> Option<String> {
    let at = [Loss::Resume, Loss::Migration];
    let card = cards.iter().find(|card| at.iter().any(|loss| card.driver.losses.contains(loss)))?;
    Some(card.words("the machine was suspended"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::driver;

    /// `vmxnet3` with index 2 and 3 (and 8, added later) and `igc` with index 4 are members of the bond with index 9;
    /// `virtio_net` with index 5 and `hv_netvsc` with index 6 stand alone.
    fn all() -> Vec<Interface> {
        let one = |index| Interface { index, name: format!("eth{index}"), mtu: 1500, ..Interface::default() };
        let member = |index| Interface { master: Some(9), ..one(index) };
        let bond = Interface { kind: Some("bond".to_owned()), ..one(9) };
        vec![member(2), member(3), member(4), one(5), one(6), bond]
    }

    fn driver_of(interface: &Interface) -> Option<&'static Driver> {
        let name = match interface.index {
            2 | 3 | 8 => "vmxnet3",
            4 => "igc",
            5 => "virtio_net",
            6 => "hv_netvsc",
            _ => interface.kind.as_deref()?,
        };
        driver::find(name)
    }

    /// The message about the interface with this index after something has happened.
    fn said(index: u32, happens: impl FnOnce(&mut Vec<Interface>)) -> Option<String> {
        let mut all = all();
        let cards = |all: &[Interface]| {
            let found = all.iter().find(|one| one.index == index).unwrap();
            cards(all, found, driver_of)
        };
        let before = cards(&all);
        happens(&mut all);
        lost(&before, &cards(&all))
    }

    fn one(all: &mut [Interface], index: u32) -> &mut Interface {
        all.iter_mut().find(|one| one.index == index).unwrap()
    }

    #[test]
    fn a_member_of_a_bond_is_watched() {
        let mtu = |index: u32| said(9, |all| one(all, index).mtu = 4000);
        assert_eq!(mtu(3).as_deref(), Some("vmxnet3 may have lost the filter when its MTU changed (eth3)"));
        let link = |index: u32| said(9, |all| one(all, index).carrier_changes += 2);
        assert_eq!(link(2).as_deref(), Some("vmxnet3 may have lost the filter when its link changed (eth2)"));
        assert_eq!((mtu(4), link(4)), (None, None), "this driver loses nothing, and resets its link");
        assert_eq!((mtu(9), link(9)), (None, None), "a bond has no rings of its own");
        assert_eq!(link(5), None, "not a member");
        let joins = said(9, |all| all.push(Interface { index: 8, master: Some(9), ..Interface::default() }));
        assert_eq!(joins, None, "the bond gives it the filter");
    }

    #[test]
    fn only_what_the_table_names_counts() {
        let [card, netvsc] = [5, 6].map(|index| {
            [
                said(index, |all| one(all, index).mtu = 4000),
                said(index, |all| one(all, index).carrier_changes += 2),
            ]
        });
        assert_eq!(card, [None, None], "virtio_net keeps it");
        assert_eq!(netvsc, [None, None], "hv_netvsc saves it");
        let function = Interface { index: 7, master: Some(6), ..Interface::default() };
        let came = said(6, |all| all.push(function));
        assert!(came.unwrap().contains("its virtual function came or went (eth6)"));
        let all = all();
        let asleep = |at: usize| lost_asleep(&cards(&all, &all[at], driver_of));
        assert!(asleep(3).unwrap().starts_with("virtio_net may have lost the filter when the machine was"));
        assert!(asleep(5).unwrap().starts_with("vmxnet3 "));
        assert_eq!(asleep(4), None);
    }
}
