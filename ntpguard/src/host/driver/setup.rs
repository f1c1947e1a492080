//! A card's set-up, as far as it decides what native XDP does on it.

use super::{Driver, Never, find, hardware, name};
use crate::host::{
    interface::{self, Interface},
    netlink::{self, Features, Offloads, Queues},
    release::Release,
    timestamping::Timestamping,
    xenstore,
};
use std::{fs, path::Path};

/// Feature bits of a virtio network device, by number (virtio 1.2 §5.1.3; include/uapi/linux/virtio_net.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtioFeatures(pub u64);

impl VirtioFeatures {
    /// Parses /sys/class/net/IF/device/features: a `0` or `1` for each bit, the lowest first.
    pub fn parse(text: &str) -> Option<Self> {
        let bits = text.trim();
        if bits.is_empty() || bits.len() > 64 || !bits.bytes().all(|bit| matches!(bit, b'0' | b'1')) {
            return None;
        }
        let bits = bits.bytes().enumerate().filter(|(_, bit)| *bit == b'1');
        Some(Self(bits.fold(0, |all, (place, _)| all | 1 << place)))
    }

    /// Whether a feature was negotiated.
    pub const fn has(self, bit: u32) -> bool {
        self.0 & (1 << bit) != 0
    }

    /// Whether any of these features was negotiated.
    pub fn any(self, bits: &[u32]) -> bool {
        bits.iter().any(|bit| self.has(*bit))
    }
}

/// What is visible of a card; `None` where the kernel doesn't report it.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The interface's name.
    pub name: String,
    /// Its driver's name in /sys, or its kind if it is virtual.
    pub driver: Option<String>,
    /// Whether it is hardware, also as emulated for a guest.
    pub is_hardware: bool,
    /// The running kernel.
    pub release: Release,
    /// The MTU, in bytes without the Ethernet header; for a veth the peer's, if that is visible.
    pub mtu: u32,
    /// The longest MTU that can be set.
    pub max_mtu: Option<u32>,
    /// The XDP features that the kernel reports (Linux 6.3 and later).
    pub xdp: Option<Features>,
    /// Its offloads.
    pub offloads: Option<Offloads>,
    /// Its queues.
    pub queues: Option<Queues>,
    /// The virtio features negotiated with the host.
    pub virtio: Option<VirtioFeatures>,
    /// The number of its virtual functions that are enabled.
    pub virtual_functions: Option<u32>,
    /// Whether the Xen backend leaves headroom before packets.
    pub headroom: Option<bool>,
    /// The mode, of a bond.
    pub bond_mode: Option<String>,
    /// Hardware timestamps.
    pub timestamping: Timestamping,
    /// The members of a bond, or the virtual function of a Hyper-V interface.
    pub lower: Vec<Self>,
}

impl Setup {
    /// Reads an interface's set-up; `all` are all interfaces of this network namespace.
    pub fn read(root: &Path, all: &[Interface], interface: &Interface) -> Self {
        let is_hyper_v = hardware(root, interface).as_deref() == Some("hv_netvsc");
        // Hyper-V has two interfaces for the same packets; the virtual function is a member of the other one.
        let lower = all.iter().filter(|one| is_hyper_v && one.master == Some(interface.index));
        let lower = interface::members(all, interface).chain(lower);
        let lower = lower.map(|one| Self::alone(root, all, one)).collect();
        Self { lower, ..Self::alone(root, all, interface) }
    }

    /// Reads the set-up of one interface, without its lower devices.
    fn alone(root: &Path, all: &[Interface], interface: &Interface) -> Self {
        let (index, name_of) = (interface.index, &interface.name);
        let folder = root.join("sys/class/net").join(name_of);
        let hardware = hardware(root, interface);
        let of = |file: &str| {
            hardware.as_ref().and_then(|_| fs::read_to_string(folder.join("device").join(file)).ok())
        };
        let nodename = || of("nodename").filter(|_| hardware.as_deref() == Some("vif"));
        Self {
            name: name_of.clone(),
            is_hardware: hardware.is_some(),
            driver: name(root, interface),
            release: Release::running(root),
            mtu: peer(all, interface).unwrap_or(interface).mtu,
            max_mtu: interface.max_mtu,
            xdp: netlink::features(index).ok(),
            offloads: netlink::offloads(index).ok(),
            queues: netlink::queues(index).ok(),
            virtio: of("features").as_deref().and_then(VirtioFeatures::parse),
            virtual_functions: of("sriov_numvfs").and_then(|text| text.trim().parse().ok()),
            headroom: nodename().and_then(|node| xenstore::backend_has_headroom(root, node.trim()).ok()),
            bond_mode: bond_mode(&folder, interface),
            timestamping: Timestamping::of(index, name_of),
            lower: Vec::new(),
        }
    }

    /// The row of its driver.
    pub fn row(&self) -> Option<&'static Driver> {
        find(self.driver.as_deref()?)
    }

    /// Its driver's name, for messages.
    pub fn driver_name(&self) -> &str {
        self.driver.as_deref().unwrap_or("its driver")
    }

    /// Whether a native program gets frames in several buffers. The table and the kernel must agree, since either may
    /// be too optimistic.
    pub fn has_frags(&self) -> bool {
        // A bond passes the program to all of its members.
        if self.bond_mode.is_some() && !self.lower.is_empty() {
            return self.lower.iter().all(Self::has_frags);
        }
        let known = self.row().map(|row| row.has_frags(self.release));
        let told = self.xdp.map(|xdp| xdp.has(Features::SEVERAL_BUFFERS));
        match (known, told) {
            (Some(known), Some(told)) => known && told,
            (known, told) => known.or(told).unwrap_or(false),
        }
    }

    /// Whether it can't be determined here if the driver will run a program: the Xen backend's features can't be read
    /// (the XenStore is root's, and a service may not see its device).
    pub fn hides_headroom(&self) -> bool {
        self.headroom.is_none() && self.row().is_some_and(|row| row.never.contains(&Never::NoHeadroom))
    }

    /// Whether an offload is on.
    pub fn offloads(&self, name: &str) -> bool {
        self.offloads.as_ref().is_some_and(|offloads| offloads.has(name))
    }
}

/// The peer of a veth, if it is in this network namespace.
fn peer<'a>(all: &'a [Interface], interface: &Interface) -> Option<&'a Interface> {
    let is_here = interface.kind.as_deref() == Some("veth") && !interface.lower_is_elsewhere;
    all.iter().find(|other| is_here && Some(other.index) == interface.lower)
}

/// Parses bonding/mode: `active-backup` of `active-backup 1`.
fn bond_mode(folder: &Path, interface: &Interface) -> Option<String> {
    if interface.kind.as_deref() != Some("bond") {
        return None;
    }
    // /sys may show another network namespace.
    let index = fs::read_to_string(folder.join("ifindex")).ok()?;
    let mode = fs::read_to_string(folder.join("bonding/mode")).ok()?;
    (index.trim() == interface.index.to_string())
        .then(|| mode.split_whitespace().next().map(str::to_owned))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn virtio_features_begin_with_bit_0() {
        let bits = VirtioFeatures::parse("0100000110000001\n").unwrap();
        assert_eq!(bits.0, 1 << 1 | 1 << 7 | 1 << 8 | 1 << 15);
        assert!(bits.has(15) && !bits.has(0) && bits.any(&[0, 7]) && !bits.any(&[2, 3]));
        assert!(VirtioFeatures::parse(&"1".repeat(64)).unwrap().has(63));
        for text in ["", "01x", "0x18000", &"1".repeat(65)] {
            assert_eq!(VirtioFeatures::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_made_up_guest() {
        let root = tempfile::tempdir().unwrap();
        let device = root.path().join("sys/class/net/eth0/device");
        fs::create_dir_all(&device).unwrap();
        symlink("../../bus/virtio/drivers/virtio_net", device.join("driver")).unwrap();
        fs::write(root.path().join("sys/class/net/eth0/ifindex"), "4000000\n").unwrap();
        fs::write(device.join("features"), "01\n").unwrap();
        fs::create_dir_all(root.path().join("proc/sys/kernel")).unwrap();
        fs::write(root.path().join("proc/sys/kernel/osrelease"), "6.1.0-18-amd64\n").unwrap();
        let eth0 = Interface { index: 4_000_000, name: "eth0".to_owned(), mtu: 1500, ..Interface::default() };
        let setup = Setup::read(root.path(), std::slice::from_ref(&eth0), &eth0);
        assert_eq!((setup.driver.as_deref(), setup.is_hardware), (Some("virtio_net"), true));
        assert_eq!((setup.virtio, setup.release), (Some(VirtioFeatures(2)), Release(6, 1)));
        let other = Interface { index: 4_000_001, ..eth0 };
        assert_eq!(Setup::read(root.path(), &[], &other).virtio, None, "another one of this name");
    }

    #[test]
    fn of_a_veth_the_peer_counts() {
        let veth = |index, lower, mtu, elsewhere| Interface {
            index,
            name: format!("v{index}"),
            kind: Some("veth".to_owned()),
            lower: Some(lower),
            lower_is_elsewhere: elsewhere,
            mtu,
            ..Interface::default()
        };
        let mtu = |elsewhere| {
            let all =
                [veth(1_000_001, 1_000_002, 1500, elsewhere), veth(1_000_002, 1_000_001, 9000, elsewhere)];
            Setup::read(Path::new("/"), &all, &all[0]).mtu
        };
        assert_eq!((mtu(false), mtu(true)), (9000, 1500));
    }
}
