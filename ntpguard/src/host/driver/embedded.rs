//! Network controllers of systems on a chip and of switches.

use super::{Also, ByRelease, Driver, Longer, Mtu, Never, Refusal, Release, Stop, Stops, Timestamps};

/// The rings are rebuilt at every operation.
const RINGS_EACH_TIME: ByRelease<Stops> = ByRelease::always(Stops::new(Stop::Rings, Stop::Rings));
/// The link is reset when the first program is attached and the last one detached.
const LINK: ByRelease<Stops> = ByRelease::always(Stops::new(Stop::Link, Stop::Nothing));

pub(super) const ROWS: &[Driver] = &[
    Driver {
        names: &["mvneta"],
        frags: Some(Release::OLDEST),
        mtu: ByRelease::always(Mtu::single(3520)),
        longer: Longer::Given,
        refusals: &[Refusal::Hidden("the hardware manages its buffers")],
        stops: LINK,
        source: "ethernet/marvell/mvneta.c:mvneta_xdp_setup",
        ..Driver::USUAL
    },
    Driver {
        names: &["mvpp2"],
        mtu: ByRelease::always(Mtu::single(1664)),
        refusals: &[Refusal::AnyPort, Refusal::TwoQueuesPerCpu],
        stops: LINK,
        also: Also::Ports,
        timestamps: Timestamps::Kept,
        source: "ethernet/marvell/mvpp2/mvpp2_main.c:mvpp2_xdp_setup, mvpp2_check_pagepool_dma, mvpp2_change_mtu",
        notes: &[
            "All ports stop at the controller's first program and after its last.",
            "The limit of the MTU is about 1,664, and counts for every port: above it there are no pools for each CPU.",
            "Above it detaching is refused, too.",
        ],
        inferred: &[
            "An MTU raised over it on any port while a program is there lets the kernel crash at the next drop.",
        ],
        ..Driver::USUAL
    },
    Driver {
        names: &[
            "*-dwmac",
            "*-dwmac-pci",
            "stmmaceth",
            "intel-eth-pci",
            "dwmac-loongson-pci",
            "dwmac-sun8i",
            "*-gbeth",
            "qcom-ethqos",
            "tegra-mgbe",
        ],
        mtu: ByRelease::always(Mtu::single(1500)),
        stops: ByRelease::always(Stops::new(Stop::Rings, Stop::Nothing)),
        timestamps: Timestamps::Kept,
        source: "ethernet/stmicro/stmmac/stmmac_xdp.c:stmmac_xdp_set_prog",
        notes: &[
            "The carrier is shown on afterwards, even with the cable out.",
            "Split headers are off while a program is there.",
        ],
        ..Driver::USUAL
    },
    Driver {
        names: &["cpsw", "cpsw-switch"],
        longer: Longer::Unknown,
        timestamps: Timestamps::Kept,
        source: "ethernet/ti/cpsw_priv.c:cpsw_ndo_bpf, cpsw_run_xdp",
        notes: &["What the switch knows of a passed packet's VLAN is lost."],
        ..Driver::USUAL
    },
    Driver {
        names: &["am65-cpsw-nuss"],
        native: Some(Release(6, 10)),
        longer: Longer::Unknown,
        stops: ByRelease::always(Stops::new(Stop::Link, Stop::Link)),
        timestamps: Timestamps::Unknown,
        source: "ethernet/ti/am65-cpsw-nuss.c:am65_cpsw_xdp_prog_setup",
        notes: &["It isn't settled whether timestamping survives the reset."],
        ..Driver::USUAL
    },
    Driver {
        names: &["fec"],
        native: Some(Release(6, 2)),
        longer: Longer::Unknown,
        refusals: &[Refusal::Hidden("a chip that swaps the bytes of frames (i.MX28)")],
        stops: RINGS_EACH_TIME,
        timestamps: Timestamps::Kept,
        source: "ethernet/freescale/fec_main.c:fec_enet_bpf, fec_restart; fec_ptp.c:fec_ptp_save_state",
        notes: &["The card's clock is kept."],
        inferred: &["Attaching while the interface is down can hang the machine."],
        ..Driver::USUAL
    },
    Driver {
        names: &["lan966x-switch"],
        native: Some(Release(6, 2)),
        longer: Longer::Unknown,
        refusals: &[Refusal::Hidden("the switch has no frame DMA")],
        stops: ByRelease::always(Stops::new(Stop::Rings, Stop::Nothing)),
        also: Also::Ports,
        timestamps: Timestamps::Kept,
        source: "ethernet/microchip/lan966x/lan966x_xdp.c:lan966x_xdp_setup; lan966x_fdma.c",
        notes: &["The program sees the frame's checksum (4 bytes) at its end."],
        ..Driver::USUAL
    },
    Driver {
        names: &["fsl_dpaa2_eth"],
        refusals: &[Refusal::Hidden("the MTU is too large for a buffer with room for XDP in front")],
        stops: ByRelease::changed(
            Stops::new(Stop::Link, Stop::Link),
            Release(6, 2),
            Stops::new(Stop::Down, Stop::Down),
        ),
        timestamps: Timestamps::Kept,
        source: "ethernet/freescale/dpaa2/dpaa2-eth.c:dpaa2_eth_setup_xdp",
        ..Driver::USUAL
    },
    Driver {
        names: &["fsl_dpaa_eth", "fsl_dpaa_mac", "fsl_dpa"],
        refusals: &[Refusal::Hidden("the MTU is too large for a buffer with room for XDP in front")],
        stops: ByRelease::always(Stops::new(Stop::Link, Stop::Link)),
        timestamps: Timestamps::Unknown,
        source: "ethernet/freescale/dpaa/dpaa_eth.c:dpaa_setup_xdp",
        inferred: &["The link is reset at every call."],
        ..Driver::USUAL
    },
    Driver {
        names: &["fsl_enetc"],
        frags: Some(Release(6, 3)),
        longer: Longer::Cut,
        refusals: &[Refusal::TwoQueuesPerCpu],
        stops: ByRelease::changed(
            Stops::new(Stop::Down, Stop::Down),
            Release(6, 3),
            Stops::new(Stop::Rings, Stop::Rings),
        ),
        timestamps: Timestamps::Kept,
        source: "ethernet/freescale/enetc/enetc.c:enetc_setup_bpf, enetc_reconfigure",
        notes: &[
            "In 6.1 queues aren't checked, and frames in several buffers are cut for the program.",
            "Each CPU takes one of the stack's queues to send by.",
        ],
        ..Driver::USUAL
    },
    Driver {
        names: &["nicvf"],
        mtu: ByRelease::always(Mtu::single(1508)),
        longer: Longer::Unfiltered,
        refusals: &[
            Refusal::Hidden("more queues to receive and to send together than there can be"),
            Refusal::Hidden("the first silicon of the T88"),
        ],
        stops: RINGS_EACH_TIME,
        timestamps: Timestamps::InFrontOfFrame,
        never: &[Never::TimestampsInFront],
        source: "ethernet/cavium/thunder/nicvf_main.c:nicvf_xdp_setup, nicvf_xdp_rx, nicvf_set_rxtstamp",
        notes: &["Programs are never freed."],
        inferred: &[
            "With hardware timestamps on, the program takes their 8 bytes for the frame's beginning.",
        ],
        ..Driver::USUAL
    },
    Driver {
        names: &["rvu_nicpf"],
        mtu: ByRelease::always(Mtu::single(1508)),
        longer: Longer::Cut,
        stops: RINGS_EACH_TIME,
        timestamps: Timestamps::InFrontOfFrame,
        never: &[Never::TimestampsInFront],
        source: "ethernet/marvell/octeontx2/nic/otx2_pf.c:otx2_xdp_setup; otx2_txrx.c:otx2_xdp_rcv_pkt_handler",
        notes: &["Programs are never freed."],
        inferred: &[
            "With hardware timestamps on, the program takes their 8 bytes for the frame's beginning.",
        ],
        ..Driver::USUAL
    },
    Driver {
        names: &["mtk_soc_eth"],
        refusals: &[
            Refusal::Hidden("hardware LRO is on"),
            Refusal::Hidden("the MTU is too large for a page"),
        ],
        stops: ByRelease::always(Stops::new(Stop::Rings, Stop::Nothing)),
        also: Also::Ports,
        timestamps: Timestamps::Unknown,
        source: "ethernet/mediatek/mtk_eth_soc.c:mtk_xdp_setup",
        notes: &["One program serves all ports."],
        inferred: &["The rings of all ports are rebuilt at the first program and after the last."],
        ..Driver::USUAL
    },
    Driver {
        names: &["netsec"],
        mtu: ByRelease::always(Mtu::single(1500)),
        stops: RINGS_EACH_TIME,
        source: "ethernet/socionext/netsec.c:netsec_xdp_setup",
        inferred: &["The interface is stopped and opened by the driver alone, and the link stays."],
        ..Driver::USUAL
    },
    Driver {
        names: &["tsnep"],
        native: Some(Release(6, 3)),
        longer: Longer::Unknown,
        timestamps: Timestamps::Unknown,
        source: "ethernet/engleder/tsnep_xdp.c:tsnep_xdp_setup_prog",
        ..Driver::USUAL
    },
];
