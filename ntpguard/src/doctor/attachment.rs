//! How an interface can be guarded: natively, generically or not at all, and what would be better.

use super::{
    Check, Finding, Status,
    card::{self, Card},
    netlink::Features,
};
use crate::bpf::owner;
use std::path::Path;

/// The longest packet that fits into a page of 4,096 bytes beside XDP's headroom (256), the buffer's own end (320), an
/// Ethernet header and two VLAN tags (22). Drivers that give programs one buffer refuse longer ones.
const ONE_BUFFER: u32 = 3498;

/// Drivers with native XDP in Linux 6.1, for kernels that don't tell (before 6.3): those with XDP_SETUP_PROG, by their
/// names in /sys. One that isn't here may have it all the same.
const NATIVE: [&str; 22] = [
    "bnxt_en",
    "ena",
    "fsl_dpaa2_eth",
    "fsl_enetc",
    "hv_netvsc",
    "i40e",
    "ice",
    "igb",
    "igc",
    "ixgbe",
    "ixgbevf",
    "mana",
    "mlx4_core",
    "mlx5_core",
    "mvneta",
    "mvpp2",
    "nfp",
    "qede",
    "sfc",
    "thunder-nicvf",
    "vif",
    "virtio_net",
];
/// Kinds of virtual interfaces that have it there.
const NATIVE_KINDS: [&str; 3] = ["bond", "tun", "veth"];

/// Looks at the interfaces named, or those that are worth guarding.
pub(super) fn examine(root: &Path, names: &[String], pin_path: &Path) -> Vec<Finding> {
    let cards = match card::all(root, pin_path) {
        Ok(cards) => cards,
        Err(error) => {
            return vec![Finding::warning(Check::Interface, "interfaces", format!("can't tell: {error:#}"))];
        }
    };
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
        return chosen.into_iter().flat_map(|card| judge(card, cpus)).collect();
    }
    let one = |name: &String| match cards.iter().find(|card| card.interface.name == *name) {
        Some(card) => judge(card, cpus),
        None => {
            let all: Vec<_> = cards.iter().map(|card| card.interface.name.as_str()).collect();
            vec![Finding::failure(
                Check::Interface,
                name,
                format!("isn't there; there are: {}", all.join(", ")),
            )]
        }
    };
    names.iter().flat_map(one).collect()
}

fn judge(card: &Card, cpus: Option<u32>) -> Vec<Finding> {
    let frames = interface(card);
    if frames.status == Status::Failure {
        return vec![frames];
    }
    let native = Native::of(card);
    let mut findings = vec![frames, driver(card, native)];
    findings.extend(place(card));
    findings.push(program(card));
    findings.push(mtu(card));
    let minded: Vec<_> = offloads(card).into_iter().chain(queues(card, cpus)).collect();
    let doubtful = minded.iter().any(|finding| finding.status != Status::Ok);
    findings.extend(minded);
    findings.push(mode(card, native, doubtful));
    findings
}

fn interface(card: &Card) -> Finding {
    let name = &card.interface.name;
    let refused = |message: &str| {
        Finding::failure(Check::Interface, name, message)
            .fix("ntpguard doctor --interface with the network card's name")
    };
    if card.interface.loopback {
        return refused("is this host's loopback: no packet from outside arrives there");
    }
    if !card.interface.ethernet {
        return refused("has no Ethernet frames, which is what ntpguard reads");
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

/// Whether the driver has native XDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Native {
    /// The kernel says so, either way.
    Told(bool),
    /// It is in the list.
    Listed,
    /// Nobody says.
    Unknown,
}

impl Native {
    fn of(card: &Card) -> Self {
        if let Some(features) = card.features {
            return Self::Told(features.has(Features::BASIC));
        }
        let named =
            |names: &[&str], name: &Option<String>| name.as_deref().is_some_and(|name| names.contains(&name));
        if named(&NATIVE, &card.driver) || named(&NATIVE_KINDS, &card.interface.kind) {
            return Self::Listed;
        }
        Self::Unknown
    }
}

fn driver(card: &Card, native: Native) -> Finding {
    let name = &card.interface.name;
    let driver = card
        .driver
        .as_ref()
        .or(card.interface.kind.as_ref())
        .map_or("its driver, whose name isn't seen here,", String::as_str);
    match native {
        Native::Told(true) => {
            Finding::ok(Check::Driver, name, format!("{driver} has native XDP, as the kernel tells"))
        }
        Native::Told(false) => {
            let message = format!(
                "{driver} has no native XDP as it is set up, as the kernel tells: generic XDP works, at a multiple of the cost"
            );
            Finding::warning(Check::Driver, name, message)
                .fix("another card, or another type of virtual one, if floods are to be met")
        }
        Native::Listed => {
            Finding::ok(Check::Driver, name, format!("{driver} is in the list of drivers with native XDP"))
        }
        Native::Unknown => {
            let message = format!(
                "can't tell whether {driver} has native XDP: this kernel doesn't say, and it isn't in ntpguard's list"
            );
            Finding::warning(Check::Driver, name, message)
                .fix(format!("ntpguard attach --interface {name} tells, and `ntpguard detach` ends it"))
        }
    }
}

/// Where another interface is better guarded.
fn place(card: &Card) -> Option<Finding> {
    let name = &card.interface.name;
    if let Some(parent) = &card.parent {
        let message = format!("is a VLAN on {parent}, where native XDP is: the filter reads VLAN tags");
        return Some(
            Finding::warning(Check::Place, name, message)
                .fix(format!("guard {parent} instead: --interface {parent}")),
        );
    }
    let (master, kind) = card.master.as_ref()?;
    Some(match kind.as_str() {
        "bond" | "team" => {
            let message =
                format!("is a member of {master} ({kind}): packets come in by its other members, too");
            Finding::warning(Check::Place, name, message)
                .fix(format!("guard {master} instead: --interface {master}"))
        }
        "bridge" => {
            let message = format!(
                "is a port of the bridge {master}: NTP that is only bridged to others is judged, too"
            );
            Finding::warning(Check::Place, name, message)
                .fix(format!("guard {master} instead, if others are behind it: --interface {master}"))
        }
        _ => Finding::ok(Check::Place, name, format!("is part of {master}")),
    })
}

fn program(card: &Card) -> Finding {
    let name = &card.interface.name;
    let Some(xdp) = card.interface.xdp else {
        return Finding::ok(Check::Owner, name, "no XDP program is on it");
    };
    let id = xdp.program;
    let called = card.program.as_deref().unwrap_or("a program whose name isn't seen here");
    if card.pinned {
        return Finding::ok(Check::Owner, name, format!("ntpguard guards it ({called}, program {id})"));
    }
    if card.program.as_deref().is_some_and(owner::is_ours) {
        let message = format!(
            "a program named {called} ({id}) is on it that isn't pinned here: `run --ephemeral`, or another --pin-path"
        );
        return Finding::warning(Check::Owner, name, message)
            .fix("stop that ntpguard, or name its --pin-path");
    }
    let message = format!("another XDP program is on it: {called}, program {id}; only one can be");
    Finding::failure(Check::Owner, name, message).fix(format!(
        "stop its owner (bpftool prog show id {id}; bpftool net), or ip link set dev {name} xdp off"
    ))
}

/// Whether native XDP takes frames this long.
fn fits(card: &Card) -> Option<bool> {
    if card.interface.mtu <= ONE_BUFFER {
        return Some(true);
    }
    card.features.map(|features| features.has(Features::SEVERAL_BUFFERS))
}

fn mtu(card: &Card) -> Finding {
    let (name, mtu) = (&card.interface.name, card.interface.mtu);
    let fix = format!("ip link set dev {name} mtu 1500");
    match fits(card) {
        Some(true) if mtu <= ONE_BUFFER => Finding::ok(Check::Mtu, name, format!("{mtu}: a frame is in one buffer")),
        Some(true) => Finding::ok(Check::Mtu, name, format!("{mtu}: a frame may be in several buffers, which the driver and the filter can")),
        Some(false) => Finding::warning(Check::Mtu, name, format!("{mtu}: a frame may be in several buffers, which this driver's native XDP can't")).fix(fix),
        None => Finding::warning(Check::Mtu, name, format!("{mtu}: a frame may be in several buffers, and this kernel doesn't tell whether the driver's native XDP can do that")).fix(fix),
    }
}

fn offloads(card: &Card) -> Option<Finding> {
    let name = &card.interface.name;
    // Who can't be asked is no worse for it: drivers that mind say so when they attach.
    card.offloads.as_ref()?;
    let on: Vec<_> = ["rx-lro", "rx-gro-hw"].into_iter().filter(|offload| card.offloads(offload)).collect();
    if on.is_empty() {
        return Some(Finding::ok(Check::Offloads, name, "the card merges no packets"));
    }
    let message = format!(
        "the card merges packets ({}): some drivers refuse native XDP then, or turn it off themselves",
        on.join(", ")
    );
    let settings: Vec<_> = on.iter().map(|offload| format!("{offload} off")).collect();
    Some(
        Finding::warning(Check::Offloads, name, message)
            .fix(format!("ethtool -K {name} {}", settings.join(" "))),
    )
}

/// Of hardware; others send in their own ways.
fn queues(card: &Card, cpus: Option<u32>) -> Option<Finding> {
    let name = &card.interface.name;
    card.driver.as_ref()?;
    let (queues, cpus) = (card.queues?, cpus?);
    let (now, most) = (queues.now, queues.most);
    if now >= cpus {
        return Some(Finding::ok(Check::Queues, name, format!("{now} to send by, for {cpus} CPUs")));
    }
    let message = format!(
        "{now} to send by, for {cpus} CPUs: where drivers want one a CPU, kisses are slower, or native XDP is refused"
    );
    let finding = Finding::warning(Check::Queues, name, message);
    Some(if most > now {
        let kind = if queues.combined { "combined" } else { "tx" };
        finding.fix(format!("ethtool -L {name} {kind} {}", most.min(cpus)))
    } else {
        finding.fix("--kod daemon, so that none is sent; the card has no more queues")
    })
}

/// What comes of all that; `doubtful` if there was something that some drivers mind.
fn mode(card: &Card, native: Native, doubtful: bool) -> Finding {
    let name = &card.interface.name;
    if let Some(xdp) = card.interface.xdp {
        let mode = if xdp.native { "native" } else { "generic" };
        if card.pinned {
            return Finding::ok(Check::Mode, name, format!("{mode}, as it is now"));
        }
        return Finding::failure(
            Check::Mode,
            name,
            format!("refused: another program ({}) holds it", xdp.program),
        )
        .fix("see `owner`");
    }
    match (native, fits(card)) {
        (Native::Told(false), _) => {
            Finding::warning(Check::Mode, name, "generic: the driver has no native XDP").fix("see `driver`")
        }
        (_, Some(false)) => {
            Finding::warning(Check::Mode, name, "generic: frames are too long for native XDP")
                .fix("see `mtu`")
        }
        (Native::Told(true), Some(true)) if doubtful => {
            Finding::ok(Check::Mode, name, "native, unless the driver minds what is said above; else generic")
        }
        (Native::Told(true), Some(true)) => Finding::ok(Check::Mode, name, "native"),
        (Native::Listed, Some(true)) => Finding::ok(Check::Mode, name, "native, by the list of drivers"),
        _ => Finding::ok(Check::Mode, name, "native if the driver takes it, else generic"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        doctor::netlink::Queues,
        interface::{Interface, Xdp},
    };

    const ALL: Features = Features(Features::BASIC | Features::SEVERAL_BUFFERS);

    /// A card as it should be.
    fn card() -> Card {
        Card {
            interface: Interface {
                index: 2,
                name: "eth0".to_owned(),
                ethernet: true,
                mtu: 1500,
                ..Interface::default()
            },
            up: true,
            global: true,
            driver: Some("ixgbe".to_owned()),
            features: Some(ALL),
            offloads: Some(vec!["rx-gro".to_owned()]),
            queues: Some(Queues { now: 4, most: 8, combined: true }),
            ..Card::default()
        }
    }

    fn found(card: &Card, check: Check) -> Finding {
        judge(card, Some(4)).into_iter().find(|finding| finding.check == check).unwrap()
    }

    fn with(change: impl FnOnce(&mut Card)) -> Card {
        let mut card = card();
        change(&mut card);
        card
    }

    #[test]
    fn a_card_as_it_should_be() {
        assert!(judge(&card(), Some(4)).iter().all(|finding| finding.status == Status::Ok));
        assert_eq!(found(&card(), Check::Mode).message, "native");
    }

    #[test]
    fn what_isnt_guarded_is_refused() {
        let lo = with(|card| card.interface.loopback = true);
        let tunnel = with(|card| card.interface.ethernet = false);
        for card in [lo, tunnel] {
            let findings = judge(&card, None);
            assert_eq!((findings.len(), findings[0].status), (1, Status::Failure));
        }
        assert_eq!(found(&with(|card| card.up = false), Check::Interface).status, Status::Warning);
    }

    #[test]
    fn the_mode_is_foretold() {
        let foretold = |change: fn(&mut Card)| found(&with(change), Check::Mode).message;
        assert_eq!(
            foretold(|card| card.features = Some(Features(0))),
            "generic: the driver has no native XDP"
        );
        assert_eq!(foretold(|card| card.features = None), "native, by the list of drivers");
        let unknown = |card: &mut Card| (card.features, card.driver) = (None, Some("e1000".to_owned()));
        assert_eq!(foretold(unknown), "native if the driver takes it, else generic");
        let jumbo =
            |card: &mut Card| (card.features, card.interface.mtu) = (Some(Features(Features::BASIC)), 9000);
        assert_eq!(foretold(jumbo), "generic: frames are too long for native XDP");
        assert_eq!(found(&with(unknown), Check::Driver).status, Status::Warning);
    }

    #[test]
    fn jumbo_frames() {
        let status = |features| {
            found(&with(|card| (card.features, card.interface.mtu) = (features, 9000)), Check::Mtu).status
        };
        assert_eq!(status(Some(ALL)), Status::Ok);
        assert_eq!(status(Some(Features(Features::BASIC))), Status::Warning);
        assert_eq!(status(None), Status::Warning);
        assert_eq!(found(&with(|card| card.interface.mtu = ONE_BUFFER), Check::Mtu).status, Status::Ok);
    }

    #[test]
    fn parts_of_others() {
        let vlan = found(&with(|card| card.parent = Some("eth1".to_owned())), Check::Place);
        assert!(vlan.fix.unwrap().ends_with("--interface eth1"));
        for (kind, status) in [("bond", Status::Warning), ("bridge", Status::Warning), ("vrf", Status::Ok)] {
            let part = with(|card| card.master = Some(("m0".to_owned(), kind.to_owned())));
            assert_eq!(found(&part, Check::Place).status, status, "{kind}");
        }
    }

    #[test]
    fn programs() {
        let on = |name: Option<&str>, pinned| {
            let card = with(|card| {
                card.interface.xdp = Some(Xdp { program: 31, native: true });
                card.program = name.map(str::to_owned);
                card.pinned = pinned;
            });
            (found(&card, Check::Owner), found(&card, Check::Mode).status)
        };
        let (owner, mode) = on(Some("xdp_drop"), false);
        assert_eq!((owner.status, mode), (Status::Failure, Status::Failure));
        assert!(owner.message.contains("xdp_drop, program 31"), "{owner:?}");
        assert_eq!(on(None, false).0.status, Status::Failure);
        assert_eq!(on(Some("ntpguard"), false).0.status, Status::Warning);
        let (owner, mode) = on(Some("ntpguard"), true);
        assert_eq!((owner.status, mode), (Status::Ok, Status::Ok));
    }

    #[test]
    fn offloads_and_queues() {
        let lro = found(
            &with(|card| card.offloads = Some(vec!["rx-lro".to_owned(), "rx-gro-hw".to_owned()])),
            Check::Offloads,
        );
        assert_eq!(lro.fix.as_deref(), Some("ethtool -K eth0 rx-lro off rx-gro-hw off"));
        let fix = |queues: Queues| found(&with(|card| card.queues = Some(queues)), Check::Queues).fix;
        assert_eq!(
            fix(Queues { now: 2, most: 8, combined: true }).as_deref(),
            Some("ethtool -L eth0 combined 4")
        );
        assert_eq!(fix(Queues { now: 1, most: 2, combined: false }).as_deref(), Some("ethtool -L eth0 tx 2"));
        assert!(fix(Queues { now: 1, most: 1, combined: true }).unwrap().starts_with("--kod daemon"));
        assert_eq!(fix(Queues { now: 4, most: 4, combined: true }), None);
    }
}
