//! Whether the attached filter runs, and which interfaces have none.

use super::{
    Check, Finding,
    card::{self, Card},
    shield::Shield,
};
use crate::{
    bpf::{How, Maps, Pins},
    host::interface::{self, Interface},
    observe::life::{self, Life, Proof},
};
use anyhow::Result;
use std::path::Path;

/// Checks the interfaces named, or without names all that lead outside, and finds out what queries from outside meet. Where
/// a filter is attached, this takes up to a second.
pub(super) fn examine(root: &Path, names: &[String], pin_path: &Path) -> (Vec<Finding>, Shield) {
    let cards = card::all(root, pin_path).unwrap_or_default();
    let held = Pins::find(pin_path).and_then(|pins| pins.links().ok()).unwrap_or_default();
    let proofs = match proofs(&cards, pin_path) {
        Ok(proofs) => proofs,
        Err(error) => {
            let finding = Finding::warning(Check::Running, "the filter", format!("can't tell: {error:#}"));
            return (vec![finding], Shield::default());
        }
    };
    let all: Vec<_> = cards.iter().map(|card| card.interface.clone()).collect();
    let guarded: Vec<_> = proofs.iter().map(|(index, _)| *index).collect();
    let mut shield = Shield::default();
    let mut findings = Vec::new();
    for card in &cards {
        let (name, index) = (&card.interface.name, card.interface.index);
        let proof = proofs.iter().find(|(guarded, _)| *guarded == index).map(|(_, proof)| proof);
        let is_bare = card.up && card.global && card.interface.ethernet && !card.interface.loopback;
        let finding = match (card.guarded, proof) {
            (Some((how, _)), Some(proof)) => {
                shield.guarded.push(name.clone());
                if proof.life == Life::NotRun {
                    shield.silent.push(name.clone());
                }
                judge(name, how, proof)
            }
            _ if held.contains(&index) => {
                shield.silent.push(name.clone());
                Finding::failure(
                    Check::Running,
                    name,
                    "isn't guarded, though it should be: the filter was taken off",
                )
                .fix(life::remedy(name, None, false))
            }
            _ if is_bare && !is_covered(&all, &guarded, &card.interface, all.len()) => {
                let outside = leads_outside(&all, &card.interface);
                if outside {
                    shield.bare.push(name.clone());
                }
                bare(name, outside, !proofs.is_empty())
            }
            _ => continue,
        };
        if names.is_empty() || names.contains(name) {
            findings.push(finding);
        }
    }
    shield.read(pin_path);
    (findings, shield)
}

/// Whether the filter runs on each interface to which it is attached; by interface index.
fn proofs(cards: &[Card], pin_path: &Path) -> Result<Vec<(u32, Proof)>> {
    let guarded: Vec<_> = cards
        .iter()
        .filter_map(|card| Some((&card.interface, matches!(card.guarded?.0, How::Native))))
        .collect();
    let Some(place) = Pins::seen(pin_path).ok().flatten().filter(|_| !guarded.is_empty()) else {
        return Ok(Vec::new());
    };
    let proofs = life::watch(&Maps::look(place)?, &guarded)?;
    Ok(guarded.iter().map(|(interface, _)| interface.index).zip(proofs).collect())
}

fn judge(name: &str, how: How, proof: &Proof) -> Finding {
    match proof.life {
        Life::Runs => Finding::ok(Check::Running, name, proof.to_string()),
        Life::NotRun => {
            Finding::failure(Check::Running, name, format!("the filter is attached, but {proof}"))
                .fix(life::remedy(name, Some(how), false))
        }
        Life::Unknown => Finding::note(Check::Running, name, proof.to_string()),
    }
}

/// An interface by which other hosts reach this host and which no filter covers; `elsewhere` says whether another interface
/// has one.
fn bare(name: &str, outside: bool, elsewhere: bool) -> Finding {
    if !outside {
        let message = "isn't guarded: guests and containers of this host reach the daemon unfiltered by it, nobody else";
        return Finding::note(Check::Running, name, message);
    }
    if elsewhere {
        let message = "isn't guarded: what comes in by it reaches the daemon unfiltered";
        return Finding::warning(Check::Running, name, message).fix(format!(
            "name it, too: --interface {name}, for all that `ntpguard run` or `attach` is given"
        ));
    }
    Finding::note(Check::Running, name, "isn't guarded yet").fix(format!("ntpguard run --interface {name}"))
}

/// Whether an interface leads to more than guests and containers of this host. A bridge with no ports but theirs doesn't;
/// container engines make such bridges.
fn leads_outside(all: &[Interface], interface: &Interface) -> bool {
    let is_guests = |port: &Interface| matches!(port.kind.as_deref(), Some("veth" | "tun"));
    match interface.kind.as_deref() {
        Some("dummy") => false,
        Some("bridge") => interface::feeders(all, interface).any(|port| !is_guests(port)),
        _ => true,
    }
}

/// Whether what an interface receives has passed a filter: its own, its bond's, or those of all interfaces that feed it.
/// For a bridge, one guarded port is enough: what this host's own guests send through other ports doesn't come from
/// outside. The recursion ends at `depth`, whatever the kernel reports.
fn is_covered(all: &[Interface], guarded: &[u32], interface: &Interface, depth: usize) -> bool {
    let of = |index: Option<u32>| all.iter().find(|other| Some(other.index) == index);
    let bond = of(interface.master).filter(|master| master.kind.as_deref() == Some("bond"));
    if guarded.contains(&interface.index) || bond.is_some_and(|bond| guarded.contains(&bond.index)) {
        return true;
    }
    let Some(depth) = depth.checked_sub(1) else { return false };
    let below: Vec<_> = interface::feeders(all, interface).collect();
    let mut covered = below.iter().map(|one| is_covered(all, guarded, one, depth));
    match interface.kind.as_deref() {
        Some("bridge") => covered.any(|covered| covered),
        _ => !below.is_empty() && covered.all(|covered| covered),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[test]
    fn what_a_filter_covers() {
        let one = |index, kind: Option<&str>, lower, master| Interface {
            index,
            name: format!("if{index}"),
            kind: kind.map(str::to_owned),
            lower,
            master,
            ..Interface::default()
        };
        let all = [
            one(2, None, None, Some(4)),
            one(3, None, None, Some(4)),
            one(4, Some("bond"), None, None),
            one(5, Some("vlan"), Some(4), None),
            one(6, None, None, Some(8)),
            one(7, Some("tun"), None, Some(8)),
            one(8, Some("bridge"), None, None),
            one(9, Some("veth"), Some(6), None),
        ];
        let covered = |guarded: &[u32]| -> Vec<u32> {
            let covered = all.iter().filter(|one| is_covered(&all, guarded, one, all.len()));
            covered.map(|one| one.index).collect()
        };
        assert_eq!(covered(&[]), [0; 0]);
        assert_eq!(covered(&[4]), [2, 3, 4, 5], "a bond, its members, and a VLAN on it");
        assert_eq!(covered(&[2]), [2], "the other member is a way in");
        assert_eq!(covered(&[2, 3]), [2, 3, 4, 5]);
        assert_eq!(covered(&[6]), [6, 8], "a bridge; the other end of a veth is no lower device");
        assert_eq!(covered(&[5]), [5]);
        let outside = |index: usize| leads_outside(&all, &all[index]);
        assert!(outside(0) && outside(2) && outside(6), "a card, a bond, a bridge with a card");
        let inside = [one(7, Some("tun"), None, Some(8)), one(8, Some("bridge"), None, None)];
        assert!(
            !leads_outside(&inside, &inside[1]) && !leads_outside(&[], &one(1, Some("dummy"), None, None))
        );
    }

    #[test]
    fn each_life_has_its_status() {
        let of = |life| {
            let proof =
                Proof { life, interface: "eth0".to_owned(), received: 300, seen: 0, queues: Vec::new() };
            judge("eth0", How::Native, &proof)
        };
        assert_eq!(of(Life::Runs).status, Status::Ok);
        assert_eq!(of(Life::Unknown).status, Status::Note);
        let lost = of(Life::NotRun);
        assert_eq!(lost.status, Status::Failure);
        assert_eq!(lost.fix.as_deref(), Some("ntpguard attach --interface eth0 --xdp-mode generic"));
        let of = |(outside, elsewhere)| bare("eth1", outside, elsewhere).status;
        assert_eq!(
            [(true, false), (true, true), (false, true)].map(of),
            [Status::Note, Status::Warning, Status::Note]
        );
    }
}
