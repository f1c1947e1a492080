//! Intel's cards.

use super::{Also, ByRelease, Clock, Driver, Longer, Mtu, Raised, Refusal, Release, Stop, Stops, Timestamps};

/// The link is reset when the first program is attached and the last one detached.
const LINK: ByRelease<Stops> = ByRelease::always(Stops::new(Stop::Link, Stop::Nothing));
/// The rings are rebuilt when the first program is attached and the last one detached.
const RINGS: ByRelease<Stops> = ByRelease::always(Stops::new(Stop::Rings, Stop::Nothing));

pub(super) const ROWS: &[Driver] = &[
    Driver {
        names: &["igb"],
        mtu: ByRelease::always(Mtu::single(3046)),
        raised: ByRelease::always(Raised::Refused),
        stops: LINK,
        timestamps: Timestamps::Kept,
        clock: Clock::Stepped,
        source: "ethernet/intel/igb/igb_main.c:igb_xdp_setup, igb_reset; igb_ptp.c:igb_ptp_reset",
        notes: &[
            "1.6 s of silence at attaching and at detaching, and an MTU over the limit refused while a program is there (measured).",
            "With the private flag legacy-rx the limit is about 2,022.",
        ],
        ..Driver::USUAL
    },
    Driver {
        names: &["igc"],
        mtu: ByRelease::always(Mtu::single(1500)),
        stops: ByRelease::always(Stops::new(Stop::Link, Stop::Link)),
        timestamps: Timestamps::KeptInHeadroom,
        source: "ethernet/intel/igc/igc_xdp.c:igc_xdp_set_prog; igc_main.c:igc_construct_skb; igc_ptp.c:igc_ptp_time_save",
        notes: &["The card's clock is kept over the reset."],
        ..Driver::USUAL
    },
    Driver {
        names: &["ixgbe"],
        mtu: ByRelease::always(Mtu::single(3050)),
        refusals: &[
            Refusal::Sriov,
            Refusal::Lro,
            Refusal::Hidden("DCB is on"),
            Refusal::Hidden("there are more than 128 possible CPUs"),
        ],
        stops: LINK,
        timestamps: Timestamps::Kept,
        clock: Clock::Replaced,
        source: "ethernet/intel/ixgbe/ixgbe_main.c:ixgbe_xdp_setup, ixgbe_setup_tc; ixgbe_ptp.c:ixgbe_ptp_stop, \
                 ixgbe_ptp_create_clock",
        notes: &[
            "A refusal comes without any words of the kernel's.",
            "On an X550 with timestamps on, the program sees 8 bytes more at the end of a frame, and XDP_TX sends them.",
            "SR-IOV, DCB and LRO can't be turned on while a program is there.",
        ],
        inferred: &[
            "In 6.12 a failing set-up of the rings leaves the driver with a program that the core has given up.",
        ],
        ..Driver::USUAL
    },
    Driver {
        names: &["ixgbevf"],
        mtu: ByRelease::always(Mtu::single(3050)),
        raised: ByRelease::always(Raised::Refused),
        stops: RINGS,
        source: "ethernet/intel/ixgbevf/ixgbevf_main.c:ixgbevf_xdp_setup",
        notes: &[
            "A refusal comes without any words of the kernel's.",
            "It is no target of redirects, so a bond with native XDP refuses it.",
        ],
        ..Driver::USUAL
    },
    Driver {
        names: &["i40e"],
        frags: Some(Release(6, 4)),
        mtu: ByRelease::changed(
            Mtu::Of { single: 3050, several: Some(3050) },
            Release(6, 4),
            Mtu::Of { single: 3046, several: Some(9702) },
        ),
        longer: Longer::Given,
        refusals: &[Refusal::Hidden("it isn't the card's main interface")],
        stops: RINGS,
        also: Also::VirtualFunctions,
        timestamps: Timestamps::Kept,
        source: "ethernet/intel/i40e/i40e_main.c:i40e_xdp_setup, i40e_prep_for_reset, i40e_reset_and_rebuild",
        notes: &[
            "The whole physical function is reset; its clock is kept, with a small error.",
            "It needs twice the queue pairs.",
        ],
        inferred: &["Where twice the queue pairs can't be had, the port is dead afterwards."],
        ..Driver::USUAL
    },
    Driver {
        names: &["ice"],
        frags: Some(Release(6, 3)),
        mtu: ByRelease::changed(
            Mtu::Of { single: 3046, several: Some(3046) },
            Release(6, 3),
            Mtu::Of { single: 3046, several: None },
        ),
        longer: Longer::Given,
        refusals: &[
            Refusal::Hidden("fewer free queues to send by than half the CPUs"),
            Refusal::Hidden("the card runs in safe mode, without its package (DDP)"),
        ],
        stops: RINGS,
        timestamps: Timestamps::Kept,
        source: "ethernet/intel/ice/ice_main.c:ice_xdp_setup_prog, ice_xdp_safe_mode",
        ..Driver::USUAL
    },
];
