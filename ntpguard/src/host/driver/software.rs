//! Virtual interfaces of the host itself, and drivers without native XDP.

use super::{Also, ByRelease, Driver, Leak, Longer, Mtu, Raised, Refusal, Release, Timestamps};

/// The longest MTU of a veth; in several buffers it takes the first and 17 pages.
const VETH: Mtu = Mtu::Of { single: 3506, several: Some(3506 + 17 * 4096) };

pub(super) const ROWS: &[Driver] = &[
    Driver {
        names: &["veth"],
        frags: Some(Release::OLDEST),
        mtu: ByRelease::always(VETH),
        longer: Longer::Given,
        raised: ByRelease::always(Raised::Refused),
        refusals: &[Refusal::PeerMtu, Refusal::PeerQueues],
        timestamps: Timestamps::Lost,
        source: "veth.c:veth_xdp_set, veth_convert_skb_to_xdp_buff",
        notes: &[
            "The peer's MTU counts: up to 3,506 for a program that takes one buffer, else up to 73,138.",
            "The peer's segmentation in software (GSO) is off while a program is there.",
        ],
        ..Driver::USUAL
    },
    Driver {
        names: &["tun"],
        longer: Longer::Given,
        source: "tun.c:tun_xdp_set, tun_build_skb",
        notes: &[
            "Only tap devices have it; tun devices have no Ethernet frames.",
            "Large and merged packets go through generic XDP inside the driver.",
        ],
        ..Driver::USUAL
    },
    Driver {
        names: &["bond"],
        frags: Some(Release::OLDEST),
        longer: Longer::Unknown,
        refusals: &[Refusal::BondMode, Refusal::Member],
        also: Also::Members,
        timestamps: Timestamps::Members,
        leaks: Some(Leak::Replaced),
        source: "bonding/bond_main.c:bond_xdp_set, bond_xdp_check",
        notes: &[
            "Each member does what its own driver does, one after the other: all of them may be without link at once.",
            "A member must be able to send what is redirected to it.",
            "While a program is there, a card that refuses it can't become a member.",
        ],
        ..Driver::USUAL
    },
    Driver {
        names: &[
            "e1000",
            "e1000e",
            "igbvf",
            "iavf",
            "idpf",
            "r8169",
            "tg3",
            "bcmgenet",
            "macb",
            "sfc_ef100",
            "sfc_falcon",
            "fsl_enetc_vf",
            "rvu_nicvf",
            "team",
            "macvlan",
            "macvtap",
            "vlan",
            "bridge",
        ],
        native: None,
        timestamps: Timestamps::Unknown,
        source: "no ndo_bpf in their net_device_ops",
        ..Driver::USUAL
    },
];
