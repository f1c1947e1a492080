//! The kinds of network card that a guest can have: QEMU's options for each, and its configuration in the guest.

use crate::frame::{SERVER_V4, SERVER_V6};

/// The VLAN of the kinds that have a VLAN device.
pub const VLAN: u16 = 5;

/// A kind of network card, or of interface on top of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Card {
    /// virtio-net on a tap without vhost, one queue: an ordinary VPS.
    Virtio,
    /// virtio-net with four queue pairs.
    #[value(name = "virtio-4q")]
    Virtio4q,
    /// virtio-net without MRG_RXBUF, with the guest's TSO.
    VirtioNoMrg,
    /// virtio-net without CTRL_GUEST_OFFLOADS, with the guest's TSO.
    VirtioNoCtrl,
    /// VMware's.
    Vmxnet3,
    /// Intel's, of which QEMU 8 and newer have a model.
    Igb,
    /// Intel's, without native XDP.
    E1000e,
    /// An active-backup bond of two virtio cards.
    Bond,
    /// A VLAN device on virtio; the device is guarded.
    Vlan,
    /// virtio with a VLAN device on it; the card is guarded, and frames have tags.
    VlanBelow,
    /// virtio as a port of a bridge; the port is guarded, and the bridge has the addresses.
    Bridge,
}

impl Card {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::Virtio,
        Self::Virtio4q,
        Self::VirtioNoMrg,
        Self::VirtioNoCtrl,
        Self::Vmxnet3,
        Self::Igb,
        Self::E1000e,
        Self::Bond,
        Self::Vlan,
        Self::VlanBelow,
        Self::Bridge,
    ];

    /// The kind's name on command lines and in tables.
    pub fn name(self) -> String {
        let value = clap::ValueEnum::to_possible_value(&self).expect("no kind is hidden");
        value.get_name().to_owned()
    }

    /// QEMU's model for `-device`.
    pub fn model(self) -> &'static str {
        match self {
            Self::Vmxnet3 => "vmxnet3",
            Self::Igb => "igb",
            Self::E1000e => "e1000e",
            _ => "virtio-net-pci",
        }
    }

    /// Properties of QEMU's model.
    pub fn properties(self) -> &'static str {
        match self {
            Self::Virtio4q => ",mq=on,vectors=10",
            Self::VirtioNoMrg => ",mrg_rxbuf=off",
            Self::VirtioNoCtrl => ",ctrl_guest_offloads=off",
            _ => "",
        }
    }

    /// Number of queues of the tap.
    pub fn queues(self) -> u32 {
        if self == Self::Virtio4q { 4 } else { 1 }
    }

    /// Number of cards in the guest.
    pub fn cards(self) -> u32 {
        if self == Self::Bond { 2 } else { 1 }
    }

    /// The modules that the guest loads, without their dependencies.
    pub fn modules(self) -> &'static [&'static str] {
        match self {
            Self::Vmxnet3 => &["vmxnet3"],
            Self::Igb => &["igb"],
            Self::E1000e => &["e1000e"],
            Self::Bond => &["virtio_pci", "virtio_net", "bonding"],
            Self::Vlan | Self::VlanBelow => &["virtio_pci", "virtio_net", "8021q"],
            Self::Bridge => &["virtio_pci", "virtio_net", "bridge"],
            _ => &["virtio_pci", "virtio_net"],
        }
    }

    /// The interface that is guarded.
    pub fn guarded(self) -> &'static str {
        match self {
            Self::Bond => "bond0",
            Self::Vlan => "eth0.5",
            _ => "eth0",
        }
    }

    /// The interface that has the addresses.
    pub fn addressed(self) -> &'static str {
        match self {
            Self::Bond => "bond0",
            Self::Vlan | Self::VlanBelow => "eth0.5",
            Self::Bridge => "br0",
            _ => "eth0",
        }
    }

    /// The VLAN tag of frames on the wire, if they have one.
    pub fn tag(self) -> Option<u16> {
        matches!(self, Self::Vlan | Self::VlanBelow).then_some(VLAN)
    }

    /// All interfaces of the guest, the cards first.
    pub fn interfaces(self) -> Vec<&'static str> {
        let mut all = vec!["eth0", "eth1"];
        all.truncate(self.cards() as usize);
        all.extend([self.guarded(), self.addressed()]);
        all.dedup();
        all
    }

    /// The shell lines that build the interfaces, to be run once after the boot.
    pub fn build(self) -> String {
        match self {
            // The bonding module creates one by itself.
            Self::Bond => "ip link del bond0 2>/dev/null || true\n\
                 ip link add bond0 type bond mode active-backup miimon 100\n\
                 for card in eth0 eth1; do ip link set $card master bond0; done\n"
                .to_owned(),
            Self::Vlan | Self::VlanBelow => {
                format!("ip link add link eth0 name eth0.{VLAN} type vlan id {VLAN}\n")
            }
            Self::Bridge => "ip link add br0 type bridge\nip link set eth0 master br0\n".to_owned(),
            _ => String::new(),
        }
    }

    /// The shell lines that set the interfaces up and give them addresses, routes and neighbour entries; setting a link
    /// down removes some of these.
    pub fn address(self) -> String {
        let up: String = self.interfaces().iter().map(|name| format!("ip link set {name} up\n")).collect();
        let on = self.addressed();
        format!(
            "{up}\
             ip address replace {SERVER_V4}/24 dev {on}\n\
             ip address replace {SERVER_V6}/64 dev {on} nodad\n\
             ip neigh replace 192.0.2.2 lladdr 02:00:00:00:00:02 dev {on}\n\
             ip neigh replace 2001:db8::2 lladdr 02:00:00:00:00:02 dev {on}\n\
             ip route replace default via 192.0.2.2 dev {on}\n\
             ip -6 route replace default via 2001:db8::2 dev {on}\n"
        )
    }

    /// The shell lines that set the MTU of the guarded interface, and of the interfaces that have to match it.
    pub fn mtu(self, mtu: u32) -> String {
        let mut order = self.interfaces();
        // A VLAN device's MTU may not exceed its lower device's, so the lower device is raised first and lowered last.
        if mtu <= 1500 {
            order.reverse();
        }
        // Members take their bond's MTU.
        order.retain(|name| self != Self::Bond || *name == "bond0");
        order.iter().map(|name| format!("ip link set {name} mtu {mtu}\n")).collect()
    }
}
