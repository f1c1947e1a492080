//! An interface with all facts that decide how it can be guarded.

use super::probe::is_global;
use crate::{
    bpf::{How, Pins, look, owner},
    host::{
        driver::Setup,
        interface::{self, Interface},
    },
};
use anyhow::Result;
use nix::{ifaddrs::getifaddrs, net::if_::InterfaceFlags};
use std::{collections::HashSet, fs, path::Path};

/// Facts about an interface; `None` where the kernel doesn't report one.
#[derive(Clone, Debug, Default)]
pub(super) struct Card {
    pub(super) interface: Interface,
    pub(super) up: bool,
    /// Whether it has an address by which other hosts reach it.
    pub(super) global: bool,
    /// Its configuration and its driver.
    pub(super) setup: Setup,
    /// Advice about its place among other interfaces, and the name of the other interface that it is about.
    pub(super) place: Option<(String, String)>,
    /// The name of the XDP program attached to it.
    pub(super) program: Option<String>,
    /// Names and ids of the programs at its tc ingress.
    pub(super) at_tc: Option<Vec<(String, u32)>>,
    /// How the pinned filter guards it, and the program's id.
    pub(super) guarded: Option<(How, u32)>,
}

/// All interfaces of this network namespace, with what is known about each.
pub(super) fn all(root: &Path, pin_path: &Path) -> Result<Vec<Card>> {
    let interfaces = interface::all()?;
    let pins = Pins::find(pin_path);
    let (mut up, mut global) = (HashSet::new(), HashSet::new());
    for address in getifaddrs()? {
        if address.flags.contains(InterfaceFlags::IFF_UP) {
            up.insert(address.interface_name.clone());
        }
        let found = address.address.as_ref();
        let v4 = found.and_then(|address| address.as_sockaddr_in()).map(|address| address.ip().into());
        let v6 = found.and_then(|address| address.as_sockaddr_in6()).map(|address| address.ip().into());
        if v4.or(v6).as_ref().is_some_and(is_global) {
            global.insert(address.interface_name);
        }
    }
    let cards = interfaces.iter().map(|interface| Card {
        up: up.contains(&interface.name),
        global: global.contains(&interface.name),
        setup: Setup::read(root, &interfaces, interface),
        place: interface::advice(&interfaces, interface)
            .map(|advice| (advice, other(&interfaces, interface))),
        program: interface.xdp.and_then(|xdp| owner::name(xdp.program)),
        at_tc: owner::at_tc(&interface.name),
        guarded: pins.as_ref().and_then(|pins| look(pins, interface).ok().flatten()),
        interface: interface.clone(),
    });
    Ok(cards.collect())
}

impl Card {
    /// Whether it is worth guarding when no interface was named.
    pub(super) fn is_worth_it(&self) -> bool {
        self.interface.ethernet && (self.up && self.global || self.setup.is_hardware)
    }

    /// Whether its XDP program is one that this ntpguard has pinned.
    pub(super) fn is_guarded_by_xdp(&self) -> bool {
        matches!((self.guarded, self.interface.xdp), (Some((_, program)), Some(xdp)) if program == xdp.program)
    }
}

/// The bond, bridge or team master's name; otherwise the lower device's.
fn other(interfaces: &[Interface], interface: &Interface) -> String {
    let of = |index: Option<u32>| interfaces.iter().find(|other| Some(other.index) == index);
    let gathers = |master: &&Interface| matches!(master.kind.as_deref(), Some("bond" | "bridge" | "team"));
    let other = of(interface.master).filter(gathers).or_else(|| of(interface.lower));
    other.map(|other| other.name.clone()).unwrap_or_default()
}

/// The number of CPUs online; the file's form is `0-3,8`.
pub(super) fn cpus(root: &Path) -> Option<u32> {
    count(&fs::read_to_string(root.join("sys/devices/system/cpu/online")).ok()?)
}

fn count(ranges: &str) -> Option<u32> {
    let range = |range: &str| -> Option<u32> {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        last.checked_sub(first)?.checked_add(1)
    };
    ranges.trim().split(',').map(range).try_fold(0_u32, |sum, range| sum.checked_add(range?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_counted() {
        for (ranges, wanted) in [
            ("0\n", Some(1)),
            ("0-3", Some(4)),
            ("0-3,8,10-11", Some(7)),
            ("", None),
            ("3-1", None),
            ("0-4294967295", None),
        ] {
            assert_eq!(count(ranges), wanted, "{ranges}");
        }
    }

    #[test]
    fn this_host_has_loopback_and_it_isnt_worth_it() {
        let cards = all(Path::new("/"), Path::new("/nonexistent")).unwrap();
        let lo = cards.iter().find(|card| card.interface.name == "lo").unwrap();
        assert!(!lo.is_worth_it() && lo.guarded.is_none(), "{lo:?}");
    }
}
