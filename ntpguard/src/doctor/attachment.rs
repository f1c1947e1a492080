//! How an interface can be guarded: with native XDP, with generic XDP or not at all, and what would be better.

use super::{
    Check, Finding, Status, around,
    card::{self, Card},
    native::{driver, effects, mtu, offloads, queues},
    timestamps::timestamps,
};
use crate::{
    bpf::{How, owner},
    host::{
        driver::{Native, predict},
        interface,
    },
};
use std::path::Path;

/// Checks the interfaces named, or without names those that are worth guarding.
pub(super) fn examine(root: &Path, names: &[String], pin_path: &Path) -> Vec<Finding> {
    let cards = match card::all(root, pin_path) {
        Ok(cards) => cards,
        Err(error) => {
            return vec![Finding::warning(Check::Interface, "interfaces", format!("can't tell: {error:#}"))];
        }
    };
    let mut findings = of_cards(root, names, &cards);
    findings.extend(around::examine(root, &cards));
    findings
}

fn of_cards(root: &Path, names: &[String], cards: &[Card]) -> Vec<Finding> {
    let cpus = card::cpus(root);
    if names.is_empty() {
        let chosen: Vec<_> = cards.iter().filter(|card| card.is_worth_it()).collect();
        if chosen.is_empty() {
            let message = "none is an Ethernet interface with an address by which others reach it";
            return vec![
                Finding::warning(Check::Interface, "interfaces", message)
                    .fix("ntpguard doctor --interface IF"),
            ];
        }
        return chosen.into_iter().flat_map(|card| judge(root, card, cpus)).collect();
    }
    let one = |name: &String| match cards.iter().find(|card| card.interface.name == *name) {
        Some(card) => judge(root, card, cpus),
        None => {
            let all: Vec<_> = cards.iter().map(|card| card.interface.name.as_str()).collect();
            vec![Finding::failure(
                Check::Interface,
                name,
                format!("isn't there; there are: {}", all.join(", ")),
            )]
        }
    };
    let mut findings: Vec<_> = names.iter().flat_map(one).collect();
    let interfaces: Vec<_> = cards.iter().map(|card| card.interface.clone()).collect();
    if let Some(overlap) = interface::overlap(&interfaces, names) {
        findings.push(Finding::failure(Check::Place, names.join(", "), overlap));
    }
    findings
}

fn judge(root: &Path, card: &Card, cpus: Option<u32>) -> Vec<Finding> {
    let frames = frames(card);
    if frames.status == Status::Failure {
        return vec![frames];
    }
    if card.interface.bare {
        // XDP can't be attached here, so none of its checks apply.
        return [frames].into_iter().chain(tc(card)).collect();
    }
    let native = predict(&card.setup);
    let mut findings = vec![frames, driver(card, &native)];
    findings.extend(place(card));
    findings.push(program(card));
    findings.extend(tc(card));
    findings.push(mtu(card, &native));
    findings.extend(offloads(card, &native));
    findings.extend(queues(card, cpus));
    findings.extend(effects(card, &native));
    findings.extend(timestamps(root, card));
    findings.push(mode(card, &native));
    findings.extend(around::several(card));
    findings
}

fn frames(card: &Card) -> Finding {
    let name = &card.interface.name;
    let refused = |message: &str| {
        Finding::failure(Check::Interface, name, message)
            .fix("ntpguard doctor --interface with the network card's name")
    };
    if card.interface.loopback {
        return refused("is this host's loopback: no packet from outside arrives there");
    }
    if card.interface.bare {
        let message = "has no Ethernet frames but bare IP: `--hook tc` can guard it, and XDP can't";
        return Finding::note(Check::Interface, name, message)
            .fix(format!("ntpguard run --hook tc --interface {name}"));
    }
    if !card.interface.ethernet {
        return refused("has neither Ethernet frames nor bare IP, and ntpguard reads these alone");
    }
    match (card.up, card.global) {
        (true, true) => {
            Finding::ok(Check::Interface, name, "is up, and has an address by which others reach it")
        }
        (true, false) => Finding::ok(
            Check::Interface,
            name,
            "is up, without an address of its own by which others reach it",
        ),
        (false, _) => {
            Finding::warning(Check::Interface, name, "is down").fix(format!("ip link set dev {name} up"))
        }
    }
}

/// A note if another interface may be the better one to guard.
fn place(card: &Card) -> Option<Finding> {
    let (advice, other) = card.place.as_ref()?;
    let fix = format!("name the other one, if that is meant: --interface {other}");
    Some(Finding::note(Check::Place, &card.interface.name, advice).fix(fix))
}

/// Whose XDP program is attached to the interface.
fn program(card: &Card) -> Finding {
    let name = &card.interface.name;
    let Some(xdp) = card.interface.xdp else {
        return Finding::ok(Check::Owner, name, "no XDP program is on it");
    };
    let id = xdp.program;
    let called = card.program.as_deref().unwrap_or("one whose name isn't seen here");
    if card.is_guarded_by_xdp() {
        return Finding::ok(Check::Owner, name, format!("ntpguard's ({called}, program {id})"));
    }
    if matches!(card.guarded, Some((How::Tcx, _))) {
        let message = format!("{called}, program {id}; ntpguard stands behind it, at tc's ingress");
        return Finding::ok(Check::Owner, name, message);
    }
    if is_ours(card) {
        let message = format!(
            "a program named {called} ({id}) is on it that isn't pinned here: `run --ephemeral`, or another --pin-path"
        );
        return Finding::warning(Check::Owner, name, message)
            .fix("stop that ntpguard, or name its --pin-path");
    }
    let message = format!("another XDP program is on it: {called}, program {id}; only one can be");
    Finding::failure(Check::Owner, name, message).fix(format!(
        "stop its owner (bpftool prog show id {id}), take it off with --replace, or stand behind it with --hook tc (Linux 6.6)"
    ))
}

fn is_ours(card: &Card) -> bool {
    card.program.as_deref().is_some_and(owner::is_ours)
}

/// Which other programs are at the interface's tc ingress; nothing before Linux 6.6, or if this user may not look.
fn tc(card: &Card) -> Option<Finding> {
    let programs: Vec<_> = card.at_tc.as_ref()?.iter().map(|(name, id)| format!("{name} ({id})")).collect();
    let message = match &programs[..] {
        [] => "no tcx program is at its ingress".to_owned(),
        programs => format!("at its ingress, behind XDP: {}", programs.join(", ")),
    };
    Some(Finding::ok(Check::Tc, &card.interface.name, message))
}

/// In which mode the interface is guarded, or would be, given all of the above.
fn mode(card: &Card, native: &Native) -> Finding {
    let name = &card.interface.name;
    if let Some((How::Tcx, program)) = card.guarded {
        return Finding::ok(Check::Mode, name, format!("at tc's ingress (program {program}), as it is now"));
    }
    if let Some(xdp) = card.interface.xdp {
        if !(card.is_guarded_by_xdp() || is_ours(card)) {
            let message = format!("refused: another program ({}) is on it", xdp.program);
            return Finding::failure(Check::Mode, name, message).fix("see `owner`");
        }
        return match native {
            Native::Ignored(obstacle) if xdp.native => {
                let message = format!("native, and NOT RUN: {}", obstacle.why);
                let fix = format!("ntpguard attach --interface {name} --xdp-mode generic");
                Finding::failure(Check::Mode, name, message).fix(fix)
            }
            _ => {
                let mode = if xdp.native { "native" } else { "generic" };
                Finding::ok(Check::Mode, name, format!("{mode}, as it is now"))
            }
        };
    }
    match native {
        Native::Runs => Finding::ok(Check::Mode, name, "native"),
        Native::Unknown => Finding::note(Check::Mode, name, "native if the driver takes it, else generic"),
        Native::Absent(obstacle) => Finding::note(Check::Mode, name, format!("generic: {}", obstacle.why)),
        Native::Refused(obstacle) | Native::Ignored(obstacle) => {
            let message = format!("generic: {}", obstacle.why);
            match &obstacle.fix {
                Some(fix) => {
                    Finding::warning(Check::Mode, name, message).fix(format!("for native XDP: {fix}"))
                }
                None => Finding::note(Check::Mode, name, message),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        doctor::native::tests::{card, with},
        host::{driver::VirtioFeatures, interface::Xdp, netlink::Features},
    };

    fn found(card: &Card, check: Check) -> Finding {
        judge(Path::new("/nonexistent"), card, Some(4))
            .into_iter()
            .find(|finding| finding.check == check)
            .unwrap()
    }

    #[test]
    fn a_card_as_it_should_be() {
        assert!(
            judge(Path::new("/nonexistent"), &card(), Some(4))
                .iter()
                .all(|finding| finding.status == Status::Ok)
        );
        assert_eq!(found(&card(), Check::Mode).message, "native");
    }

    #[test]
    fn what_isnt_guarded_is_refused() {
        let lo = with(|card| card.interface.loopback = true);
        let tunnel = with(|card| card.interface.ethernet = false);
        for card in [lo, tunnel] {
            let findings = judge(Path::new("/nonexistent"), &card, None);
            assert_eq!((findings.len(), findings[0].status), (1, Status::Failure));
        }
        assert_eq!(found(&with(|card| card.up = false), Check::Interface).status, Status::Warning);
    }

    #[test]
    fn the_mode_is_foretold() {
        let foretold = |change: fn(&mut Card)| {
            let mode = found(&with(change), Check::Mode);
            (mode.status, mode.message, mode.fix)
        };
        let absent = "generic: the driver of eth0 has no native XDP".to_owned();
        let none = foretold(|card| (card.setup.driver, card.setup.xdp) = (None, Some(Features(0))));
        assert_eq!(none, (Status::Note, absent.clone(), None));
        assert_eq!(foretold(|card| card.setup.xdp = None).1, "native", "by the table");
        let old = |card: &mut Card| (card.setup.driver, card.setup.xdp) = (Some("e1000".to_owned()), None);
        assert_eq!(foretold(old).1, absent);
        let unknown =
            |card: &mut Card| (card.setup.driver, card.setup.xdp) = (Some("eth_x".to_owned()), None);
        assert_eq!(foretold(unknown).1, "native if the driver takes it, else generic");
        assert_eq!(found(&with(unknown), Check::Driver).status, Status::Warning);
        let (status, message, fix) = foretold(|card| {
            card.setup.driver = Some("vmxnet3".to_owned());
            (card.setup.xdp, card.setup.mtu) = (Some(Features(Features::BASIC)), 9000);
        });
        assert!(status == Status::Warning && message.contains("the MTU is 9000"), "{message}");
        assert_eq!(fix.as_deref(), Some("for native XDP: ip link set dev eth0 mtu 3494"));
    }

    #[test]
    fn a_program_that_is_shown_and_not_run_is_a_failure() {
        let big_packets = |card: &mut Card| {
            card.setup.driver = Some("virtio_net".to_owned());
            card.setup.virtio = VirtioFeatures::parse("0110000110100000").filter(|bits| !bits.has(15));
        };
        let mode = found(&with(big_packets), Check::Mode);
        assert!(mode.status == Status::Warning && mode.message.starts_with("generic: "), "{mode:?}");
        let mode = |native| {
            let card = with(|card| {
                big_packets(card);
                card.interface.xdp = Some(Xdp { program: 31, native });
                card.guarded = Some((if native { How::Native } else { How::Generic }, 31));
            });
            found(&card, Check::Mode)
        };
        assert!(
            mode(true).status == Status::Failure && mode(true).message.contains("NOT RUN"),
            "{:?}",
            mode(true)
        );
        assert_eq!(mode(false).status, Status::Ok);
    }

    #[test]
    fn parts_of_others() {
        let advice = "eth0 belongs to the bond bond0".to_owned();
        let part = found(&with(|card| card.place = Some((advice, "bond0".to_owned()))), Check::Place);
        assert_eq!(part.status, Status::Note);
        assert!(part.fix.unwrap().ends_with("--interface bond0"));
    }

    #[test]
    fn programs() {
        let on = |name: Option<&str>, guarded| {
            let card = with(|card| {
                card.interface.xdp = Some(Xdp { program: 31, native: true });
                card.program = name.map(str::to_owned);
                card.guarded = guarded;
            });
            (found(&card, Check::Owner), found(&card, Check::Mode).status)
        };
        let (owner, mode) = on(Some("xdp_drop"), None);
        assert_eq!((owner.status, mode), (Status::Failure, Status::Failure));
        assert!(owner.message.contains("xdp_drop, program 31"), "{owner:?}");
        assert_eq!(on(None, None).0.status, Status::Failure);
        let (owner, mode) = on(Some("ntpguard"), None);
        assert_eq!((owner.status, mode), (Status::Warning, Status::Ok));
        let (owner, mode) = on(Some("ntpguard"), Some((How::Native, 31)));
        assert_eq!((owner.status, mode), (Status::Ok, Status::Ok));
        let (owner, mode) = on(Some("xdp_drop"), Some((How::Tcx, 32)));
        assert_eq!((owner.status, mode), (Status::Ok, Status::Ok), "guarded behind it");
    }

    #[test]
    fn others_at_tc() {
        assert_eq!(tc(&card()), None, "nobody tells");
        let some = with(|card| card.at_tc = Some(vec![("cil_from_netdev".to_owned(), 5)]));
        assert_eq!(found(&some, Check::Tc).message, "at its ingress, behind XDP: cil_from_netdev (5)");
        assert_eq!(found(&with(|card| card.at_tc = Some(vec![])), Check::Tc).status, Status::Ok);
    }
}
