//! Server cards of vendors other than Intel.

use super::{
    ByRelease, Clock, Driver, Longer, Mtu, Offload, Raised, Refusal, Release, Stop, Stops, Timestamps,
};

pub(super) const ROWS: &[Driver] = &[
    Driver {
        names: &["mlx4_core"],
        mtu: ByRelease::always(Mtu::single(3498)),
        stops: ByRelease::always(Stops::new(Stop::Link, Stop::Nothing)),
        timestamps: Timestamps::Kept,
        source: "ethernet/mellanox/mlx4/en_netdev.c:mlx4_xdp_set, mlx4_en_start_port",
        notes: &["There may be fewer rings to send by afterwards; the kernel's log says so."],
        inferred: &["The cable's link drops (CLOSE_PORT, INIT_PORT)."],
        ..Driver::USUAL
    },
    Driver {
        names: &["mlx5_core", "mlx5_core.sf"],
        frags: Some(Release(6, 4)),
        mtu: ByRelease::always(Mtu::single(3498)),
        longer: Longer::Given,
        refusals: &[
            Refusal::Merging,
            Refusal::Hidden("striding receive queues, and an MTU too large for them"),
        ],
        stops: ByRelease::always(Stops::new(Stop::Rings, Stop::Nothing)),
        timestamps: Timestamps::Kept,
        source: "ethernet/mellanox/mlx5/core/en_main.c:mlx5e_xdp_set, mlx5e_xdp_allowed; en/ptp.c:mlx5e_init_ptp_rq",
        notes: &[
            "In 6.1 frames in several buffers come with the private flag rx_striding_rq off alone.",
            "Checksums of whole packets (CHECKSUM_COMPLETE) are off while a program is there.",
            "With rx_cqe_compress and timestamps on, UDP port 319 goes past the program; port 123 doesn't.",
            "Representors have no XDP.",
        ],
        ..Driver::USUAL
    },
    Driver {
        names: &["bnxt_en"],
        frags: Some(Release::OLDEST),
        mtu: ByRelease::always(Mtu::single(3502)),
        longer: Longer::Given,
        raised: ByRelease::always(Raised::Refused),
        refusals: &[Refusal::SeparateChannels, Refusal::Hidden("the card has too few rings")],
        stops: ByRelease::always(Stops::new(Stop::Rings, Stop::Rings)),
        offloads: &[Offload { name: "rx-lro", returns: true }, Offload { name: "rx-gro-hw", returns: true }],
        timestamps: Timestamps::Kept,
        source: "ethernet/broadcom/bnxt/bnxt_xdp.c:bnxt_xdp_set",
        notes: &["It makes hardware timestamps on P5 and newer chips."],
        ..Driver::USUAL
    },
    Driver {
        names: &["nfp"],
        refusals: &[
            Refusal::Hidden("a buffer for the MTU is longer than a page"),
            Refusal::Hidden("too few rings to send by"),
        ],
        stops: ByRelease::always(Stops::new(Stop::Rings, Stop::Nothing)),
        source: "ethernet/netronome/nfp/nfp_net_common.c:nfp_net_xdp_setup_drv, nfp_net_check_config",
        notes: &["Packets of representors go past the program."],
        ..Driver::USUAL
    },
    Driver {
        names: &["qede"],
        longer: Longer::Cut,
        raised: ByRelease::always(Raised::Cut),
        stops: ByRelease::always(Stops::new(Stop::Link, Stop::Link)),
        offloads: &[Offload { name: "rx-gro-hw", returns: false }],
        timestamps: Timestamps::Kept,
        source: "ethernet/qlogic/qede/qede_filter.c:qede_xdp_set; qede_fp.c:qede_rx_process_cqe",
        notes: &[
            "It never refuses, not even when its own reload fails.",
            "Hardware timestamps are those of PTP packets alone.",
        ],
        ..Driver::USUAL
    },
    Driver {
        names: &["sfc", "sfc_siena"],
        mtu: ByRelease::always(Mtu::single(3498)),
        longer: Longer::Dropped,
        refusals: &[Refusal::Hidden("its queues can't be told of XDP")],
        timestamps: Timestamps::Kept,
        source: "ethernet/sfc/efx.c:efx_xdp_setup_prog, efx_common.c:efx_xdp_max_mtu",
        notes: &["The limit of the MTU is about 3.5 KB, and depends on the card."],
        ..Driver::USUAL
    },
    Driver {
        names: &["ionic"],
        native: Some(Release(6, 9)),
        frags: Some(Release(6, 9)),
        refusals: &[
            Refusal::SeparateChannels,
            Refusal::Hidden("the MTU is too large for a program that takes one buffer"),
        ],
        stops: ByRelease::always(Stops::new(Stop::Rings, Stop::Rings)),
        longer: Longer::Given,
        timestamps: Timestamps::Unknown,
        source: "ethernet/pensando/ionic/ionic_lif.c:ionic_xdp_config",
        inferred: &["Its rings are rebuilt at every call."],
        ..Driver::USUAL
    },
    Driver {
        names: &["funeth"],
        stops: ByRelease::always(Stops::new(Stop::Rings, Stop::Nothing)),
        longer: Longer::Unknown,
        timestamps: Timestamps::Unknown,
        source: "ethernet/fungible/funeth/funeth_main.c:fun_xdp_setup",
        inferred: &["All but that it has native XDP: its functions weren't read closely."],
        ..Driver::USUAL
    },
    Driver {
        names: &["atlantic"],
        frags: Some(Release::OLDEST),
        mtu: ByRelease::always(Mtu::single(2048)),
        longer: Longer::Given,
        stops: ByRelease::always(Stops::new(Stop::Link, Stop::Nothing)),
        replaceable: false,
        offloads: &[Offload { name: "rx-lro", returns: false }],
        timestamps: Timestamps::Kept,
        clock: Clock::Replaced,
        source: "ethernet/aquantia/atlantic/aq_main.c:aq_xdp_setup; aq_ring.c:aq_ring_rx_alloc, __aq_ring_xdp_clean; \
                 aq_ptp.c:aq_ptp_unregister",
        notes: &[
            "A replacement has no effect: the rings keep the program that they began with.",
            "LRO is turned off only for programs that take a frame in one buffer.",
        ],
        inferred: &[
            "The program before goes on running after a replacement, when its memory is given up.",
            "A second card of this driver without a program drops all that it receives.",
        ],
        ..Driver::USUAL
    },
];
