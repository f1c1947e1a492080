//! Typical cards, and what native XDP is expected to do on them: nics.md's measurements and the drivers' own
//! conditions.

use super::*;
use crate::host::{
    driver::VirtioFeatures,
    netlink::{Offloads, Queues},
    release::Release,
    timestamping::Timestamping,
};

const OLD: Release = Release(6, 1);
const NEW: Release = Release(6, 12);
const BASIC: Option<Features> = Some(Features(Features::BASIC));
const NONE: Option<Features> = Some(Features(0));

fn card(driver: &str, release: Release) -> Setup {
    Setup {
        name: "eth0".to_owned(),
        driver: Some(driver.to_owned()),
        is_hardware: true,
        release,
        mtu: 1500,
        ..Setup::default()
    }
}

fn virtio(bits: &[u32]) -> Setup {
    let bits = bits.iter().fold(0, |all, bit| all | 1 << bit);
    Setup { virtio: Some(VirtioFeatures(bits)), ..card("virtio_net", NEW) }
}

fn why(setup: &Setup) -> String {
    predict(setup).obstacle().map(|obstacle| obstacle.why.clone()).unwrap_or_default()
}

fn fix(setup: &Setup) -> Option<String> {
    predict(setup).obstacle().and_then(|obstacle| obstacle.fix.clone())
}

#[test]
fn virtio_without_merged_buffers_never_runs_the_program() {
    // GUEST_CSUM, CTRL_GUEST_OFFLOADS, VERSION_1, and the other features that a QEMU guest has by default.
    let usual = [1, 2, 7, 8, 9, 10, 15, 32];
    assert_eq!(predict(&virtio(&usual)), Native::Runs);
    for merges in [7, 8, 9, 10] {
        let setup = virtio(&[1, 2, merges, 32]);
        assert!(matches!(predict(&setup), Native::Ignored(_)), "bit {merges}");
        assert_eq!(predict(&virtio(&[1, 2, merges, 15, 32])), Native::Runs, "bit {merges}");
    }
    assert_eq!(predict(&virtio(&[1, 2, 54, 32])), Native::Runs, "USO alone makes no big packets");
    assert!(matches!(predict(&virtio(&[1, 2, 54, 55, 32])), Native::Ignored(_)));
    assert_eq!(predict(&virtio(&[1, 2, 32])), Native::Runs, "small buffers");
    assert_eq!(predict(&Setup { virtio: None, ..virtio(&[]) }), Native::Runs, "nothing is seen");
}

#[test]
fn virtio_of_a_host_with_long_frames_never_runs_it_either() {
    let long = |max_mtu| predict(&Setup { max_mtu, ..virtio(&[2, 3, 32]) });
    assert!(matches!(long(Some(9000)), Native::Ignored(_)));
    assert_eq!((long(Some(1500)), long(None)), (Native::Runs, Native::Runs));
    let no_limit = Setup { max_mtu: Some(65535), ..virtio(&[2, 32]) };
    assert_eq!(predict(&no_limit), Native::Runs, "without bit 3 the limit is the driver's own");
}

#[test]
fn virtio_without_control_of_offloads_refuses() {
    for bit in [1, 7, 8, 9, 10, 54] {
        for merged in [vec![bit, 32], vec![bit, 15, 32]] {
            assert!(matches!(predict(&virtio(&merged)), Native::Refused(_)), "bits {merged:?}");
        }
    }
    assert_eq!(predict(&virtio(&[15, 32])), Native::Runs, "there is nothing to turn off");
    assert!(matches!(predict(&virtio(&[2, 15])), Native::Refused(_)), "the header's layout");
}

#[test]
fn the_mtu_counts_by_driver_and_release() {
    let longer = |driver, release, mtu, xdp| fix(&Setup { mtu, xdp, ..card(driver, release) });
    let lower = |mtu: u32| Some(format!("ip link set dev eth0 mtu {mtu}"));
    let frags = Some(Features(Features::BASIC | Features::SEVERAL_BUFFERS));
    assert_eq!(longer("virtio_net", OLD, 9000, None), lower(4064));
    assert_eq!(longer("virtio_net", NEW, 9000, frags), None);
    assert_eq!(longer("virtio_net", NEW, 9000, BASIC), lower(3506), "without MRG_RXBUF");
    assert_eq!(longer("vmxnet3", NEW, 9000, BASIC), lower(3494));
    assert_eq!(longer("igc", NEW, 1501, BASIC), lower(1500));
    assert_eq!(longer("mana", NEW, 3506, BASIC), None);
    assert_eq!(longer("eth_of_nobody", NEW, 9000, BASIC), lower(ONE_BUFFER));
    assert_eq!(longer("eth_of_nobody", NEW, 9000, frags), None);
}

#[test]
fn ena_at_its_defaults_needs_two_commands() {
    let mut ena = card("ena", NEW);
    (ena.mtu, ena.xdp) = (9001, NONE);
    ena.queues = Some(Queues { combined: (8, 8), ..Queues::default() });
    let wanted = "ethtool -L eth0 combined 4; ip link set dev eth0 mtu 3498";
    assert_eq!(fix(&ena).as_deref(), Some(wanted));
    ena.queues = Some(Queues { combined: (1, 1), ..Queues::default() });
    assert_eq!(fix(&ena), None, "one channel can't be halved: no command helps");
    ena.queues = Some(Queues { combined: (4, 8), ..Queues::default() });
    (ena.mtu, ena.xdp) = (1500, BASIC);
    assert_eq!(predict(&ena), Native::Runs);
}

#[test]
fn offloads_that_are_fixed_get_no_command() {
    let merging = |driver: &str, on: &str, changeable: &[&str]| {
        let changeable = changeable.iter().map(|name| (*name).to_owned()).collect();
        Setup { offloads: Some(Offloads { on: vec![on.to_owned()], changeable }), ..card(driver, NEW) }
    };
    assert_eq!(
        fix(&merging("hv_netvsc", "rx-lro", &["rx-lro"])).as_deref(),
        Some("ethtool -K eth0 rx-lro off")
    );
    assert_eq!(fix(&merging("hv_netvsc", "rx-lro", &[])), None);
    assert!(why(&merging("hv_netvsc", "rx-lro", &[])).contains("can't be turned off here"));
    assert_eq!(predict(&merging("virtio_net", "rx-gro-hw", &[])), Native::Runs, "it turns that off itself");
    assert_eq!(
        fix(&merging("mlx5_core", "rx-gro-hw", &["rx-gro-hw"])).as_deref(),
        Some("ethtool -K eth0 rx-gro-hw off")
    );
}

#[test]
fn channels_and_virtual_functions() {
    let queues = |driver: &str, queues| Setup { queues: Some(queues), ..card(driver, NEW) };
    let gve = queues("gve", Queues { rx: (4, 8), tx: (8, 8), ..Queues::default() });
    assert_eq!(fix(&gve).as_deref(), Some("ethtool -L eth0 rx 4 tx 4"));
    let gve = queues("gve", Queues { rx: (4, 8), tx: (4, 8), ..Queues::default() });
    assert_eq!(predict(&gve), Native::Runs);
    let bnxt = queues("bnxt_en", Queues { rx: (4, 8), tx: (4, 8), combined: (0, 8) });
    assert_eq!(fix(&bnxt).as_deref(), Some("ethtool -L eth0 combined 8"));
    let ixgbe = Setup { virtual_functions: Some(4), ..card("ixgbe", NEW) };
    assert_eq!(fix(&ixgbe).as_deref(), Some("echo 0 > /sys/class/net/eth0/device/sriov_numvfs"));
    assert_eq!(predict(&Setup { virtual_functions: Some(0), ..ixgbe }), Native::Runs);
}

#[test]
fn no_native_xdp_is_said_only_where_there_is_none() {
    assert!(matches!(predict(&card("e1000e", NEW)), Native::Absent(_)));
    assert!(matches!(predict(&card("vmxnet3", OLD)), Native::Absent(_)), "6.6 brought it");
    assert_eq!(predict(&card("vmxnet3", Release(6, 6))), Native::Runs);
    assert_eq!(predict(&card("eth_of_nobody", OLD)), Native::Unknown);
    let told = |driver: &str, xdp| predict(&Setup { xdp, ..card(driver, NEW) });
    assert!(matches!(told("eth_of_nobody", NONE), Native::Absent(_)));
    assert_eq!(told("e1000e", BASIC), Native::Runs, "a newer kernel than those read");
    let gve = Setup { xdp: NONE, ..card("gve", NEW) };
    assert!(matches!(predict(&gve), Native::Refused(_)) && why(&gve).contains("GQI-QPL"), "{}", why(&gve));
}

#[test]
fn a_bond_is_what_its_members_are() {
    let bond = |mode: &str, lower: Vec<Setup>| Setup {
        name: "bond0".to_owned(),
        is_hardware: false,
        bond_mode: Some(mode.to_owned()),
        lower,
        ..card("bond", NEW)
    };
    let good = || virtio(&[1, 2, 7, 15, 32]);
    assert_eq!(predict(&bond("active-backup", vec![good(), good()])), Native::Runs);
    let mode = bond("balance-alb", vec![good(), good()]);
    assert!(matches!(predict(&mode), Native::Refused(_)) && why(&mode).contains("balance-alb"));
    let absent = bond("active-backup", vec![good(), card("e1000e", NEW)]);
    assert!(matches!(predict(&absent), Native::Refused(_)) && why(&absent).starts_with("its member eth0: "));
    assert!(matches!(predict(&bond("802.3ad", vec![good(), virtio(&[2, 7, 32])])), Native::Ignored(_)));
}

#[test]
fn packets_that_come_another_way() {
    let with = |lower| Setup { lower, ..card("hv_netvsc", NEW) };
    assert_eq!(predict(&with(vec![])), Native::Runs);
    assert_eq!(predict(&with(vec![card("mlx5_core", NEW)])), Native::Runs);
    let iavf = with(vec![Setup { name: "enP1".to_owned(), ..card("iavf", NEW) }]);
    assert!(matches!(predict(&iavf), Native::Ignored(_)) && why(&iavf).contains("enP1"), "{}", why(&iavf));
    let xen = |headroom| predict(&Setup { headroom, ..card("vif", NEW) });
    assert!(matches!(xen(Some(false)), Native::Ignored(_)));
    assert_eq!(xen(Some(true)), Native::Runs);
    let thunder = |on| {
        let timestamping = Timestamping { on, ..Timestamping::default() };
        predict(&Setup { timestamping, ..card("nicvf", NEW) })
    };
    assert!(matches!(thunder(Some(true)), Native::Ignored(_)));
    assert_eq!(thunder(Some(false)), Native::Runs);
}
