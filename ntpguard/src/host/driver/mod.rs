//! What each network driver does with native XDP: when it refuses a program, what attaching, replacing and detaching
//! stop, and when it loses a program that the network core still reports.
//!
//! ```text
//! use ntpguard::host::driver;
//! let igb = driver::find("igb").unwrap();
//! assert_eq!(igb.stops.at(Release(6, 12)).attach, Stop::Link);
//! ```
//!
//! The rows were read from the sources of Linux 6.1.192 and 6.12.117; most of these cards weren't tested. Each row
//! names the functions that it was read from, and [`Driver::inferred`] has what no line of them states outright. For
//! changes between the two releases, the first release with a behaviour is from the kernel's history, not from its
//! sources.

mod effect;
mod embedded;
mod intel;
mod page;
mod predict;
mod refusal;
mod row;
mod server;
mod setup;
mod software;
mod tell;
mod virtual_card;

pub use effect::{Also, Clock, Offload, Stop, Stops, Timestamps};
pub use page::page;
pub use predict::{Native, Obstacle, predict};
pub use refusal::{Leak, Longer, Loss, Mtu, Never, Raised, Refusal};
pub use row::Driver;
pub use setup::{Setup, VirtioFeatures};
pub use tell::{beforehand, mtu_lost};

use super::release::{ByRelease, Release};
use crate::host::interface::{self, Interface};
use std::{fs, path::Path};

/// All rows of the table.
pub fn all() -> impl Iterator<Item = &'static Driver> {
    [virtual_card::ROWS, intel::ROWS, server::ROWS, embedded::ROWS, software::ROWS].into_iter().flatten()
}

/// The row of a driver, by its name in /sys or by the kind of a virtual interface; `None` if it isn't in the table.
pub fn find(name: &str) -> Option<&'static Driver> {
    let fits = |known: &str| known.strip_prefix('*').map_or(known == name, |end| name.ends_with(end));
    all().find(|driver| driver.names.iter().any(|known| fits(known)))
}

/// The driver of an interface, or of one of a bond's members, for which replacing a program has no effect.
pub fn irreplaceable(root: &Path, all: &[Interface], interface: &Interface) -> Option<&'static Driver> {
    let cards = interface::members(all, interface).chain([interface]);
    cards.filter_map(|card| find(&name(root, card)?)).find(|driver| !driver.replaceable)
}

/// The name of an interface's driver: for hardware its name in /sys, for a virtual interface its kind.
pub fn name(root: &Path, interface: &Interface) -> Option<String> {
    hardware(root, interface).or_else(|| interface.kind.clone())
}

/// The name of a hardware interface's driver; `None` for virtual interfaces.
pub fn hardware(root: &Path, interface: &Interface) -> Option<String> {
    let folder = root.join("sys/class/net").join(&interface.name);
    // /sys may show another network namespace, with another interface of that name.
    let index = fs::read_to_string(folder.join("ifindex")).ok()?;
    if index.trim() != interface.index.to_string() {
        return None;
    }
    let driver = fs::read_link(folder.join("device/driver")).ok()?;
    Some(driver.file_name()?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn every_driver_has_one_row() {
        let names: Vec<_> = all().flat_map(|driver| driver.names).collect();
        for name in &names {
            assert_eq!(names.iter().filter(|other| other == &name).count(), 1, "{name}");
        }
        assert!(find("eth_of_nobody").is_none());
    }

    #[test]
    fn every_row_with_native_xdp_says_where_it_was_read() {
        for driver in all().filter(|driver| driver.native.is_some()) {
            assert!(driver.source.contains(".c:"), "{:?}", driver.names);
            assert!(driver.frags.is_none_or(|frags| Some(frags) >= driver.native), "{:?}", driver.names);
            for sentence in driver.notes.iter().chain(driver.inferred) {
                assert!(sentence.ends_with('.') && !sentence.contains('|'), "{sentence}");
            }
        }
    }

    #[test]
    fn rows_are_found_by_the_names_of_sys_and_of_kinds() {
        let stop = |name: &str, release| find(name).unwrap().stops.at(release);
        assert_eq!(stop("igc", Release(6, 1)).replace, Stop::Link);
        assert_eq!(stop("fsl_dpaa2_eth", Release(6, 12)).attach, Stop::Down);
        assert_eq!(stop("fsl_dpaa2_eth", Release(6, 1)).attach, Stop::Link);
        assert_eq!(find("rk_gmac-dwmac").unwrap().names, find("stmmaceth").unwrap().names);
        assert!(find("vmxnet3").unwrap().loses() && !find("vmxnet3").unwrap().is_native(Release(6, 1)));
        assert!(!find("atlantic").unwrap().replaceable);
        assert_eq!(find("e1000e").unwrap().native, None);
        assert!(find("bond").is_some() && find("veth").is_some() && find("tun").is_some());
    }

    #[test]
    fn limits_go_by_release_and_form() {
        let longest = |name: &str, release, frags| find(name).unwrap().longest(release, frags);
        assert_eq!(longest("virtio_net", Release(6, 1), true), Some(4064));
        assert_eq!(longest("virtio_net", Release(6, 12), true), None);
        assert_eq!(longest("virtio_net", Release(6, 12), false), Some(3506));
        assert_eq!(longest("i40e", Release(6, 12), true), Some(9702));
        assert_eq!(longest("igc", Release(6, 12), true), Some(1500), "it has no frags");
        assert_eq!(longest("qede", Release(6, 12), false), None);
    }

    #[test]
    fn the_driver_of_a_made_up_card() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("sys/class/net/eth0");
        fs::create_dir_all(folder.join("device")).unwrap();
        symlink("../../../bus/pci/drivers/ixgbe", folder.join("device/driver")).unwrap();
        let eth0 = Interface { index: 7, name: "eth0".to_owned(), ..Interface::default() };
        fs::write(folder.join("ifindex"), "7\n").unwrap();
        assert_eq!(name(root.path(), &eth0).as_deref(), Some("ixgbe"));
        fs::write(folder.join("ifindex"), "8\n").unwrap();
        assert_eq!(name(root.path(), &eth0), None, "another one of this name");
        let veth = Interface { kind: Some("veth".to_owned()), ..eth0 };
        assert_eq!(name(root.path(), &veth).as_deref(), Some("veth"));
    }

    #[test]
    fn where_a_replacement_has_no_effect_that_is_known_of_a_bond_too() {
        let root = tempfile::tempdir().unwrap();
        let bond = Interface {
            index: 9,
            name: "bond0".to_owned(),
            kind: Some("bond".to_owned()),
            ..Interface::default()
        };
        let card = |index: u32, driver: &str| {
            let name = format!("eth{index}");
            let folder = root.path().join("sys/class/net").join(&name);
            fs::create_dir_all(folder.join("device")).unwrap();
            symlink(format!("../../../bus/pci/drivers/{driver}"), folder.join("device/driver")).unwrap();
            fs::write(folder.join("ifindex"), format!("{index}\n")).unwrap();
            Interface { index, name, ..Interface::default() }
        };
        let (igc, mut atlantic) = (card(7, "igc"), card(8, "atlantic"));
        let found = |all: &[Interface], one: &Interface| {
            irreplaceable(root.path(), all, one).and_then(|driver| driver.names.first().copied())
        };
        assert_eq!(found(&[], &igc), None);
        assert_eq!(found(&[], &atlantic), Some("atlantic"));
        assert_eq!(found(&[igc.clone(), atlantic.clone()], &bond), None);
        atlantic.master = Some(9);
        assert_eq!(found(&[igc, atlantic], &bond), Some("atlantic"));
    }
}
