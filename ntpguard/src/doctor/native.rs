//! Whether native XDP works on an interface, and which of the interface's settings affect it: findings by the table and
//! rules of [`crate::host::driver`].

use super::{Check, Finding, card::Card};
use crate::{
    bpf::How,
    host::{
        driver::{self, Driver, Loss, Native},
        netlink::Features,
    },
};

/// The longest MTU, in bytes, that is assumed to fit into one buffer of a page; drivers' own limits are in the table.
const ONE_BUFFER: u32 = 3498;

pub(super) fn driver(card: &Card, native: &Native) -> Finding {
    let name = &card.interface.name;
    let driver = card.setup.driver.as_deref().unwrap_or("its driver, whose name isn't seen here,");
    let by_kernel = card.setup.xdp.map(|xdp| xdp.has(Features::BASIC));
    match native {
        Native::Absent(_) => {
            let message = format!("{driver} has no native XDP: generic XDP works, at a multiple of the cost");
            Finding::note(Check::Driver, name, message)
                .fix("another card, or another type of virtual one, if floods are to be met")
        }
        Native::Unknown => {
            let message = format!(
                "can't tell whether {driver} has native XDP: this kernel doesn't say, and it isn't in ntpguard's table"
            );
            Finding::warning(Check::Driver, name, message)
                .fix(format!("ntpguard attach --interface {name} tells, and `ntpguard detach` ends it"))
        }
        Native::Refused(_) if by_kernel == Some(false) => {
            let message = format!("{driver} has native XDP, but not as it is set up, as the kernel tells");
            Finding::note(Check::Driver, name, message).fix("see `mode`")
        }
        _ => {
            let whence =
                if by_kernel.is_some() { "as the kernel tells" } else { "by ntpguard's table of drivers" };
            let message = format!("{driver} has native XDP, {whence}");
            let mut but = card.setup.row().and_then(losses).unwrap_or_default();
            if card.setup.hides_headroom() {
                but += "; whether it runs a program can't be told: its backend's feature-xdp-headroom isn't to be read here \
                        (/dev/xen/xenbus)";
            }
            if but.is_empty() {
                Finding::ok(Check::Driver, name, message)
            } else {
                Finding::note(Check::Driver, name, message + &but)
            }
        }
    }
}

/// When the driver loses the program; `None` if it never does, or only at a resume.
fn losses(row: &'static Driver) -> Option<String> {
    let events: Vec<_> = row.losses.iter().map(|loss| loss.words()).collect();
    row.losses.iter().any(|loss| *loss != Loss::Resume).then(|| {
        format!(
            ", and loses the program {}: `ntpguard run` puts it back, `attach` alone doesn't",
            events.join(", ")
        )
    })
}

pub(super) fn mtu(card: &Card, native: &Native) -> Finding {
    let (name, mtu) = (&card.interface.name, card.setup.mtu);
    let is_native = matches!(card.guarded, Some((How::Native, _)));
    if let Some(words) = driver::mtu_lost(&card.setup).filter(|_| is_native) {
        let fix = format!("ntpguard attach --interface {name} --xdp-mode generic, or a lower MTU");
        return Finding::warning(Check::Mtu, name, words.replace('\n', " ")).fix(fix);
    }
    match native {
        Native::Refused(obstacle) if obstacle.why.starts_with("the MTU is ") => {
            Finding::note(Check::Mtu, name, format!("{mtu}: too long for this driver's native XDP"))
                .fix("see `mode`")
        }
        _ if mtu <= ONE_BUFFER => Finding::ok(Check::Mtu, name, format!("{mtu}: a frame is in one buffer")),
        Native::Absent(_) | Native::Unknown => {
            Finding::ok(Check::Mtu, name, format!("{mtu}: generic XDP takes frames of any length"))
        }
        _ if card.setup.has_frags() => Finding::ok(
            Check::Mtu,
            name,
            format!("{mtu}: a frame may be in several buffers, which the driver and the filter can"),
        ),
        _ => Finding::ok(Check::Mtu, name, format!("{mtu}: the driver's native XDP takes that")),
    }
}

/// What attaching will do to the card; `None` if the interface is guarded already, or if attaching has no noticeable effect.
pub(super) fn effects(card: &Card, native: &Native) -> Option<Finding> {
    let lines = driver::beforehand(&card.setup);
    let is_to_come = card.guarded.is_none() && *native == Native::Runs && !lines.is_empty();
    is_to_come.then(|| {
        Finding::note(Check::Effects, &card.interface.name, lines.join("; "))
            .fix("attach when nobody needs the network, or --xdp-mode generic, or --hook tc")
    })
}

pub(super) fn offloads(card: &Card, native: &Native) -> Option<Finding> {
    let name = &card.interface.name;
    // If the offloads can't be read, nothing is reported: drivers that refuse them say so when the filter is attached.
    let offloads = card.setup.offloads.as_ref()?;
    let on: Vec<_> = ["rx-lro", "rx-gro-hw"].into_iter().filter(|offload| offloads.has(offload)).collect();
    if on.is_empty() {
        return Some(Finding::ok(Check::Offloads, name, "the card merges no packets"));
    }
    let merges = format!("the card merges packets ({})", on.join(", "));
    let minds = matches!(native, Native::Refused(obstacle) if obstacle.why.contains("merges packets"));
    Some(if minds {
        Finding::note(Check::Offloads, name, merges + ", which this driver's native XDP doesn't go with")
            .fix("see `mode`")
    } else {
        Finding::ok(Check::Offloads, name, merges + "; that is turned off where XDP needs it")
    })
}

/// Only for hardware: virtual drivers send kisses in other ways.
pub(super) fn queues(card: &Card, cpus: Option<u32>) -> Option<Finding> {
    let name = &card.interface.name;
    let (queues, cpus) = (card.setup.queues.filter(|_| card.setup.is_hardware)?, cpus?);
    let (now, most) = (queues.senders(), queues.most_senders());
    if now >= cpus {
        return Some(Finding::ok(Check::Queues, name, format!("{now} to send by, for {cpus} CPUs")));
    }
    let message =
        format!("{now} to send by, for {cpus} CPUs: kisses are slower where a CPU has none of its own");
    let finding = Finding::note(Check::Queues, name, message);
    Some(if most > now {
        let kind = if queues.combined.1 > 0 { "combined" } else { "tx" };
        finding.fix(format!("ethtool -L {name} {kind} {}", most.min(cpus)))
    } else {
        finding
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        doctor::Status,
        host::{
            driver::Setup,
            interface::Interface,
            netlink::{Offloads, Queues},
            release::Release,
        },
    };

    pub(in crate::doctor) const ALL: Features = Features(Features::BASIC | Features::SEVERAL_BUFFERS);

    /// A card without any obstacle.
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
            setup: Setup {
                name: "eth0".to_owned(),
                driver: Some("virtio_net".to_owned()),
                is_hardware: true,
                release: Release(6, 12),
                mtu: 1500,
                xdp: Some(ALL),
                offloads: Some(Offloads {
                    on: vec!["rx-gro".to_owned()],
                    changeable: vec!["rx-gro".to_owned(), "rx-lro".to_owned()],
                }),
                queues: Some(Queues { combined: (4, 8), ..Queues::default() }),
                ..Setup::default()
            },
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
        let found = |driver: &str, xdp, how: Option<How>| {
            let card = with(|card| {
                card.setup.driver = Some(driver.to_owned());
                (card.setup.xdp, card.setup.mtu) = (xdp, 9000);
                card.guarded = how.map(|how| (how, 7));
            });
            mtu(&card, &driver::predict(&card.setup))
        };
        assert_eq!(found("mlx5_core", Some(ALL), None).status, Status::Ok);
        let basic = Some(Features(Features::BASIC));
        assert_eq!(found("mlx5_core", basic, None).status, Status::Note);
        assert_eq!(found("e1000e", None, None).status, Status::Ok, "generic");
        let vmxnet3 = found("vmxnet3", basic, Some(How::Native));
        assert!(
            vmxnet3.status == Status::Warning && vmxnet3.message.contains("go past the filter"),
            "{vmxnet3:?}"
        );
        assert_eq!(found("vmxnet3", basic, Some(How::Generic)).status, Status::Note);
    }

    /// Where native XDP is refused for the MTU, the row of the MTU says so, whichever driver's limit it is.
    #[test]
    fn an_mtu_that_a_driver_refuses_is_not_ok() {
        let mut refused = 0;
        for driver in
            ["ixgbe", "i40e", "igb", "mvneta", "mvpp2", "bnxt_en", "sfc", "mlx5_core", "virtio_net", "ena"]
        {
            for bytes in [1500, 1600, 2000, 2100, 3047, 3051, 3400, 3499, 9000] {
                let card = with(|card| {
                    card.setup.driver = Some(driver.to_owned());
                    (card.setup.xdp, card.setup.mtu) = (Some(Features(Features::BASIC)), bytes);
                });
                let native = driver::predict(&card.setup);
                let is_refused =
                    matches!(&native, Native::Refused(why) if why.why.starts_with("the MTU is "));
                refused += usize::from(is_refused);
                let wanted = if is_refused { Status::Note } else { Status::Ok };
                assert_eq!(mtu(&card, &native).status, wanted, "{driver} {bytes}: {native:?}");
            }
        }
        assert!(refused > 20, "{refused}");
    }

    #[test]
    fn offloads_that_merge() {
        let found = |driver: &str, on: &str| {
            let card = with(|card| {
                card.setup.driver = Some(driver.to_owned());
                card.setup.offloads.as_mut().unwrap().on = vec![on.to_owned()];
            });
            super::offloads(&card, &driver::predict(&card.setup)).unwrap().status
        };
        assert_eq!(found("mlx5_core", "rx-lro"), Status::Note);
        assert_eq!(found("virtio_net", "rx-gro-hw"), Status::Ok);
        assert_eq!(found("mlx5_core", "rx-gro"), Status::Ok);
    }

    #[test]
    fn few_queues_are_no_alarm() {
        let found =
            |queues: Queues| super::queues(&with(|card| card.setup.queues = Some(queues)), Some(4)).unwrap();
        let combined = |combined| found(Queues { combined, ..Queues::default() });
        assert_eq!(combined((2, 8)).fix.as_deref(), Some("ethtool -L eth0 combined 4"));
        let tx = found(Queues { tx: (1, 2), ..Queues::default() });
        assert_eq!((tx.status, tx.fix.as_deref()), (Status::Note, Some("ethtool -L eth0 tx 2")));
        assert_eq!((combined((1, 1)).status, combined((1, 1)).fix), (Status::Note, None));
        assert_eq!(combined((4, 4)).status, Status::Ok);
    }

    #[test]
    fn effects_are_told_before_and_only_where_there_are_some() {
        let found = |driver: &str, guarded| {
            let card = with(|card| {
                card.setup.driver = Some(driver.to_owned());
                card.guarded = guarded;
            });
            effects(&card, &driver::predict(&card.setup))
        };
        let igb = found("igb", None).unwrap();
        assert!(igb.message.contains("resets the link") && igb.message.contains("(PHC)"), "{igb:?}");
        assert_eq!(found("igb", Some((How::Native, 7))), None, "it is done");
        assert_eq!(found("virtio_net", None), None);
    }
}
