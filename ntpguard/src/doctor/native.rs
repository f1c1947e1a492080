//! Whether XDP can run in an interface's driver, and what of the interface's settings some drivers mind.

use super::{Check, Finding, card::Card};
use crate::host::netlink::Features;

/// The longest packet that fits into a page of 4,096 bytes beside XDP's headroom (256), the buffer's own end (320), an
/// Ethernet header and two VLAN tags (22). Drivers that give programs one buffer refuse longer ones.
const ONE_BUFFER: u32 = 3498;

/// Drivers with native XDP in Linux 6.1, for kernels that don't tell (before 6.3): those with XDP_SETUP_PROG, by their
/// names in /sys. One that isn't here may have it all the same.
const NATIVE: &str = "bnxt_en ena fsl_dpaa2_eth fsl_enetc hv_netvsc i40e ice igb igc ixgbe ixgbevf mana mlx4_core mlx5_core \
                      mvneta mvpp2 nfp nicvf qede sfc vif virtio_net";
/// Kinds of virtual interfaces that have it there.
const NATIVE_KINDS: &str = "bond tun veth";

/// Whether the driver has native XDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Native {
    /// The kernel says so, either way.
    Told(bool),
    /// It is in the list.
    Listed,
    /// Nobody says.
    Unknown,
}

impl Native {
    pub(super) fn of(card: &Card) -> Self {
        if let Some(features) = card.features {
            return Self::Told(features.has(Features::BASIC));
        }
        let named = |names: &str, name: &Option<String>| {
            names.split(' ').any(|listed| name.as_deref() == Some(listed))
        };
        if named(NATIVE, &card.driver) || named(NATIVE_KINDS, &card.interface.kind) {
            return Self::Listed;
        }
        Self::Unknown
    }
}

pub(super) fn driver(card: &Card, native: Native) -> Finding {
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

/// Whether native XDP takes frames this long.
pub(super) fn fits(card: &Card) -> Option<bool> {
    if card.interface.mtu <= ONE_BUFFER {
        return Some(true);
    }
    card.features.map(|features| features.has(Features::SEVERAL_BUFFERS))
}

pub(super) fn mtu(card: &Card) -> Finding {
    let (name, mtu) = (&card.interface.name, card.interface.mtu);
    if mtu <= ONE_BUFFER {
        return Finding::ok(Check::Mtu, name, format!("{mtu}: a frame is in one buffer"));
    }
    let several = |words: &str| format!("{mtu}: a frame may be in several buffers, {words}");
    let words = match fits(card) {
        Some(true) => {
            return Finding::ok(Check::Mtu, name, several("which the driver and the filter can"));
        }
        Some(false) => "which this driver's native XDP can't",
        None => "and this kernel doesn't tell whether the driver's native XDP can do that",
    };
    Finding::warning(Check::Mtu, name, several(words)).fix(format!("ip link set dev {name} mtu 1500"))
}

pub(super) fn offloads(card: &Card) -> Option<Finding> {
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
pub(super) fn queues(card: &Card, cpus: Option<u32>) -> Option<Finding> {
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
    let finding = Finding::note(Check::Queues, name, message);
    Some(if most > now {
        let kind = if queues.combined { "combined" } else { "tx" };
        finding.fix(format!("ethtool -L {name} {kind} {}", most.min(cpus)))
    } else {
        finding.fix("--kod daemon, so that none is sent; the card has no more queues")
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{doctor::Status, host::netlink::Queues, interface::Interface};

    pub(in crate::doctor) const ALL: Features = Features(Features::BASIC | Features::SEVERAL_BUFFERS);

    /// A card as it should be.
    pub(in crate::doctor) fn card() -> Card {
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

    pub(in crate::doctor) fn with(change: impl FnOnce(&mut Card)) -> Card {
        let mut card = card();
        change(&mut card);
        card
    }

    #[test]
    fn jumbo_frames() {
        let status =
            |features| mtu(&with(|card| (card.features, card.interface.mtu) = (features, 9000))).status;
        assert_eq!(status(Some(ALL)), Status::Ok);
        assert_eq!(status(Some(Features(Features::BASIC))), Status::Warning);
        assert_eq!(status(None), Status::Warning);
        assert_eq!(mtu(&with(|card| card.interface.mtu = ONE_BUFFER)).status, Status::Ok);
    }

    #[test]
    fn offloads_and_queues() {
        let on = ["rx-lro", "rx-gro-hw"].map(str::to_owned).to_vec();
        let lro = super::offloads(&with(|card| card.offloads = Some(on))).unwrap();
        assert_eq!(lro.fix.as_deref(), Some("ethtool -K eth0 rx-lro off rx-gro-hw off"));
        let fix =
            |queues: Queues| super::queues(&with(|card| card.queues = Some(queues)), Some(4)).unwrap().fix;
        assert_eq!(
            fix(Queues { now: 2, most: 8, combined: true }).as_deref(),
            Some("ethtool -L eth0 combined 4")
        );
        assert_eq!(fix(Queues { now: 1, most: 2, combined: false }).as_deref(), Some("ethtool -L eth0 tx 2"));
        assert!(fix(Queues { now: 1, most: 1, combined: true }).unwrap().starts_with("--kod daemon"));
        assert_eq!(fix(Queues { now: 4, most: 4, combined: true }), None);
    }
}
