//! In words, what attaching does to a card, and what a long MTU costs under native XDP.

use super::{Also, Driver, Longer, Raised, Setup, Stop, Timestamps};

/// What a native program will do to a card when it is attached: one line each, none longer than 80 columns with names
/// of up to 8 characters; empty if nobody will notice.
pub fn beforehand(setup: &Setup) -> Vec<String> {
    let Some(row) = setup.row() else { return Vec::new() };
    let name = &setup.name;
    let stop = row.stops.at(setup.release).attach;
    let mut lines = Vec::new();
    // A pause is too short to notice.
    if let Some(words) = stop.words().filter(|_| stop > Stop::Paused) {
        lines.push(format!("attaching to {name} {words}"));
        lines.extend(row.also.words().map(|words| format!("attaching to {name}: {words}")));
    }
    lines.extend(row.clock.words().map(|words| format!("attaching to {name} {words}")));
    for offload in row.offloads.iter().filter(|offload| !offload.returns && setup.offloads(offload.name)) {
        lines.push(format!("attaching to {name} turns {} off", offload.name));
    }
    if setup.timestamping.on == Some(true) && row.timestamps == Timestamps::Lost {
        lines.push(format!("packets that pass {name} lose their hardware timestamps"));
    }
    if setup.hides_headroom() {
        lines.push(format!("whether the Xen backend of {name} has room for XDP can't be read here"));
    }
    if row.also == Also::Members || row.also == Also::VirtualFunction {
        lines.extend(setup.lower.iter().flat_map(beforehand));
    }
    lines
}

/// What happens to frames if a card with a native program has an MTU above the driver's limit; `None` if nothing does.
/// For a card with a program; for one without, see [`mod@super::predict`].
pub fn mtu_lost(setup: &Setup) -> Option<String> {
    let own = setup.row().and_then(|row| lost(setup, row));
    own.or_else(|| setup.lower.iter().find_map(mtu_lost))
}

fn lost(setup: &Setup, row: &Driver) -> Option<String> {
    let longest = row.longest(setup.release, setup.has_frags())?;
    if setup.mtu <= longest {
        return None;
    }
    let (name, mtu, driver) = (&setup.name, setup.mtu, setup.driver_name());
    let becomes = match (row.raised.at(setup.release), row.longer) {
        (Raised::Harmless, _) => return None,
        (Raised::Dropped, _) | (Raised::Unknown, Longer::Dropped) => "are lost",
        (Raised::Unfiltered, _) | (Raised::Unknown, Longer::Unfiltered) => "go past the filter",
        (Raised::Cut, _) | (Raised::Unknown, Longer::Cut) => "are judged by their beginning alone",
        (Raised::Refused | Raised::Unknown, _) => "may be lost, or go past the filter",
    };
    Some(format!(
        "{name} has an MTU of {mtu}, and {driver} takes {longest} under native XDP:\nlonger frames {becomes}.\n\
         `ip link set dev {name} mtu {longest}`, or --xdp-mode generic, mends that."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{
        driver::all,
        netlink::{Features, Offloads},
        release::Release,
        timestamping::Timestamping,
    };

    const OLD: Release = Release(6, 1);
    const NEW: Release = Release(6, 12);

    fn card(driver: &str, release: Release) -> Setup {
        Setup {
            name: "enp3s0f0".to_owned(),
            driver: Some(driver.to_owned()),
            release,
            mtu: 1500,
            ..Setup::default()
        }
    }

    #[test]
    fn nothing_is_said_where_nobody_notices() {
        for quiet in ["virtio_net", "veth", "mana", "cpsw", "e1000e", "eth_of_nobody"] {
            assert_eq!(beforehand(&card(quiet, NEW)), Vec::<String>::new(), "{quiet}");
        }
    }

    #[test]
    fn what_happens_to_the_card_is_said() {
        let said = |driver: &str, release| beforehand(&card(driver, release)).join("\n");
        assert!(said("igb", NEW).contains("resets the link") && said("igb", NEW).contains("(PHC)"));
        assert!(said("ixgbe", NEW).contains("turns hardware timestamps off"));
        assert!(said("i40e", NEW).contains("virtual functions"));
        assert!(said("mvpp2", NEW).contains("all ports"));
        assert!(said("fsl_enetc", OLD).contains("routes") && !said("fsl_enetc", NEW).contains("routes"));
        assert!(said("vif", NEW).contains("can't be read here"));
        assert_eq!(beforehand(&Setup { headroom: Some(true), ..card("vif", NEW) }), [""; 0]);
        let mut vmxnet3 = card("vmxnet3", NEW);
        assert!(!beforehand(&vmxnet3).iter().any(|line| line.contains("rx-lro")), "it is off");
        vmxnet3.offloads = Some(Offloads { on: vec!["rx-lro".to_owned()], changeable: vec![] });
        assert!(beforehand(&vmxnet3).iter().any(|line| line.ends_with("turns rx-lro off")));
        let bond = Setup { lower: vec![card("igb", NEW)], ..card("bond", NEW) };
        assert!(beforehand(&bond).iter().any(|line| line.contains("resets the link")));
    }

    #[test]
    fn every_line_fits_a_terminal() {
        for (name, release) in all().flat_map(|row| row.names).flat_map(|name| [(name, OLD), (name, NEW)]) {
            let mut card = card(name, release);
            card.timestamping = Timestamping { on: Some(true), ..Timestamping::default() };
            let offloads = ["rx-lro", "rx-gro-hw"].map(str::to_owned).to_vec();
            card.offloads = Some(Offloads { on: offloads, changeable: vec![] });
            let before = beforehand(&card);
            card.mtu = 9000;
            let lost = mtu_lost(&card).unwrap_or_default();
            for line in before.iter().map(String::as_str).chain(lost.lines()) {
                assert!(line.len() <= 80, "{} columns: {line}", line.len());
            }
        }
    }

    #[test]
    fn an_mtu_that_the_driver_cant_have_is_said_with_what_is_lost() {
        let lost = |driver: &str, release, mtu| {
            let several = Some(Features(Features::BASIC | Features::SEVERAL_BUFFERS));
            let xdp = several.filter(|_| release >= Release(6, 3));
            mtu_lost(&Setup { mtu, xdp, ..card(driver, release) }).unwrap_or_default()
        };
        assert!(lost("virtio_net", OLD, 9000).contains("longer frames are lost"), "nics.md N3");
        assert_eq!(lost("virtio_net", OLD, 4064), "");
        assert_eq!(lost("virtio_net", NEW, 9000), "");
        assert!(lost("vmxnet3", NEW, 9000).contains("go past the filter"));
        assert!(lost("vif", NEW, 9000).contains("are lost"));
        assert_eq!(lost("eth_of_nobody", NEW, 9000), "", "nobody knows");
        let member = Setup { mtu: 9000, ..card("vmxnet3", NEW) };
        let bond = Setup { lower: vec![member], ..card("bond", NEW) };
        assert!(mtu_lost(&bond).unwrap_or_default().contains("go past the filter"));
    }
}
