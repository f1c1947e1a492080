//! Network cards of virtual machines.

use super::{
    Also, ByRelease, Driver, Leak, Longer, Loss, Mtu, Never, Offload, Raised, Refusal, Release, Stop, Stops,
};

/// The longest MTU that virtio_net, hv_netvsc and mana can give a program in one page.
const PAGE: Mtu = Mtu::single(3506);

pub(super) const ROWS: &[Driver] = &[
    Driver {
        names: &["virtio_net"],
        frags: Some(Release(6, 3)),
        mtu: ByRelease::changed(Mtu::Of { single: 4064, several: Some(4064) }, Release(6, 3), PAGE),
        longer: Longer::Given,
        raised: ByRelease::changed(Raised::Dropped, Release(6, 3), Raised::Harmless),
        refusals: &[Refusal::GuestOffloads, Refusal::HeaderLayout],
        stops: ByRelease::always(Stops::new(Stop::Paused, Stop::Paused)),
        offloads: &[Offload { name: "rx-gro-hw", returns: true }],
        losses: &[Loss::Resume],
        never: &[Never::BigPackets],
        source: "virtio_net.c:virtnet_xdp_set, virtnet_set_big_packets, receive_big, virtnet_freeze",
        notes: &[
            "Frames in several buffers need VIRTIO_NET_F_MRG_RXBUF (feature bit 15).",
            "In 6.1 an MTU over 4,064 while a program is there drops longer frames, and detaching leaves the program in the \
             driver until the MTU is 1,500 and it is attached and detached once more (measured).",
            "Without a send queue more for each CPU, kisses go by a slower way.",
            "The number of channels can't be changed while a program is there (measured).",
            "With a program, 6.1 doesn't hand on that the host has verified a checksum.",
        ],
        ..Driver::USUAL
    },
    Driver {
        names: &["vmxnet3"],
        native: Some(Release(6, 6)),
        mtu: ByRelease::always(Mtu::single(3494)),
        longer: Longer::Unfiltered,
        raised: ByRelease::always(Raised::Unfiltered),
        refusals: &[Refusal::Hidden("the rings can't be built anew")],
        stops: ByRelease::always(Stops::new(Stop::Rings, Stop::Nothing)),
        offloads: &[Offload { name: "rx-lro", returns: false }],
        losses: &[Loss::LinkUp, Loss::Mtu, Loss::Rings, Loss::Reset, Loss::Resume],
        leaks: Some(Leak::Lost),
        source: "vmxnet3/vmxnet3_xdp.c:vmxnet3_xdp_set, vmxnet3/vmxnet3_drv.c:vmxnet3_rq_cleanup_all",
        notes: &[
            "A replacement by another instance of the program brings it back (measured); one by the same program does nothing.",
        ],
        ..Driver::USUAL
    },
    Driver {
        names: &["ena"],
        mtu: ByRelease::always(Mtu::single(3498)),
        longer: Longer::Dropped,
        raised: ByRelease::always(Raised::Refused),
        refusals: &[Refusal::TwiceChannels],
        stops: ByRelease::always(Stops::new(Stop::Rings, Stop::Nothing)),
        source: "ethernet/amazon/ena/ena_netdev.c:ena_xdp_set, ena_xdp_allowed, ena_init_io_rings",
        notes: &[
            "It refuses at its own defaults: all channels are in use, and the MTU is 9,001.",
            "With one CPU there is one channel at most, and native XDP is impossible.",
        ],
        inferred: &[
            "After a change of channels or rings, the program has 64 bytes of headroom instead of 256.",
        ],
        ..Driver::USUAL
    },
    Driver {
        names: &["hv_netvsc"],
        mtu: ByRelease::always(PAGE),
        refusals: &[Refusal::Lro, Refusal::Hidden("the driver of its virtual function refuses")],
        also: Also::VirtualFunction,
        losses: &[Loss::VirtualFunction],
        never: &[Never::VirtualFunction],
        source: "hyperv/netvsc_bpf.c:netvsc_xdp_set, netvsc_vf_setxdp; hyperv/netvsc_drv.c:netvsc_register_vf",
        notes: &[
            "LRO is on where the host offers RSC, and can't be turned on again while a program is there.",
        ],
        ..Driver::USUAL
    },
    Driver {
        names: &["gve"],
        native: Some(Release(6, 4)),
        mtu: ByRelease::always(Mtu::single(2032)),
        longer: Longer::Unfiltered,
        raised: ByRelease::always(Raised::Unfiltered),
        refusals: &[
            Refusal::Lro,
            Refusal::EqualChannels,
            Refusal::Hidden("its queues have a format that has no XDP (any but GQI-QPL)"),
        ],
        stops: ByRelease::always(Stops::new(Stop::Paused, Stop::Paused)),
        source: "ethernet/google/gve/gve_main.c:gve_set_xdp, verify_xdp_configuration; gve_rx.c",
        notes: &[
            "The same conditions are checked when detaching: at an MTU over 2,032 detaching fails, and the program stays.",
        ],
        ..Driver::USUAL
    },
    Driver {
        names: &["vif"],
        mtu: ByRelease::always(Mtu::single(3840)),
        longer: Longer::Dropped,
        raised: ByRelease::always(Raised::Dropped),
        stops: ByRelease::always(Stops::new(Stop::Paused, Stop::Paused)),
        losses: &[Loss::Migration],
        never: &[Never::NoHeadroom],
        source: "xen-netfront.c:xennet_xdp_set, xennet_create_queues, xennet_get_responses",
        notes: &[
            "Attaching and detaching wait for the backend without a limit of time.",
            "At an MTU over 3,840 detaching is refused.",
        ],
        inferred: &["Large TCP frames from guests of the same host can vanish while a program is there."],
        ..Driver::USUAL
    },
    Driver {
        names: &["mana"],
        mtu: ByRelease::always(PAGE),
        raised: ByRelease::always(Raised::Refused),
        source: "ethernet/microsoft/mana/mana_bpf.c:mana_xdp_set",
        ..Driver::USUAL
    },
];
