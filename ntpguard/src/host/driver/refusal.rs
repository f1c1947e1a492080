//! Why a driver refuses a native program, takes it and never runs it, or loses it later.

/// The longest MTU under native XDP, in bytes without the Ethernet header. For x86-64 with pages of 4,096 bytes, cache lines
/// of 64 and MAX_SKB_FRAGS of 17.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mtu {
    /// The driver looks at none.
    Unlimited,
    /// It refuses longer ones.
    Of {
        /// For programs that take a frame in one buffer.
        single: u32,
        /// For programs that take frames in several; `None` if there is no limit. Without meaning for drivers without.
        several: Option<u32>,
    },
}

impl Mtu {
    /// A limit for programs that take a frame in one buffer, and none for others.
    pub(super) const fn single(single: u32) -> Self {
        Self::Of { single, several: None }
    }
}

/// What happens to frames in several buffers where the driver gives programs one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Longer {
    /// There are none: the driver refuses an MTU at which they come.
    Refused,
    /// They are dropped.
    Dropped,
    /// They go past the program.
    Unfiltered,
    /// The program sees their first buffer and doesn't know it.
    Cut,
    /// The driver gives them to the program like others.
    Given,
    /// Not settled.
    Unknown,
}

/// What happens if the MTU is raised over the limit while a program is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raised {
    /// The driver refuses that.
    Refused,
    /// It takes it, and drops the frames that are too long.
    Dropped,
    /// It takes it, and lets them past the program.
    Unfiltered,
    /// It takes it, and shows the program a part of them.
    Cut,
    /// It takes it, and the filter goes on.
    Harmless,
    /// Not settled.
    Unknown,
}

/// A condition under which a native program is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Virtio: the host merges packets or leaves checksums open for this guest (feature bits 1, 7 to 10), and the guest can't
    /// turn that off (no bit 2, CTRL_GUEST_OFFLOADS).
    GuestOffloads,
    /// Virtio: merged buffers (bit 15) without one of the layouts of bits 27 and 32.
    HeaderLayout,
    /// LRO (`rx-lro`) is on.
    Lro,
    /// LRO or hardware GRO (`rx-gro-hw`) is on.
    Merging,
    /// Twice the channels in use are more than there can be.
    TwiceChannels,
    /// As many channels to receive as to send are wanted, and twice those to send at most as there can be.
    EqualChannels,
    /// Channels are set apart for receiving and sending, not combined.
    SeparateChannels,
    /// SR-IOV is on (`sriov_numvfs`).
    Sriov,
    /// The MTU of any port of the controller is over its limit.
    AnyPort,
    /// Fewer queues to send by than two for each possible CPU.
    TwoQueuesPerCpu,
    /// Fewer queues to receive than the peer has to send.
    PeerQueues,
    /// The peer's MTU is over the limit.
    PeerMtu,
    /// A member refuses, or has a program of its own.
    Member,
    /// The bond's mode isn't one of balance-rr, active-backup, balance-xor and 802.3ad.
    BondMode,
    /// What user space can't see, or sees only in the kernel's `xdp-features`.
    Hidden(&'static str),
}

impl Refusal {
    /// In words, behind "it may be that".
    pub const fn words(self) -> &'static str {
        match self {
            Self::GuestOffloads => {
                "the host merges packets and the guest can't turn that off (no CTRL_GUEST_OFFLOADS)"
            }
            Self::HeaderLayout => "the host wants the virtio header in a buffer of its own",
            Self::Lro => "LRO is on (rx-lro)",
            Self::Merging => "LRO or hardware GRO is on (rx-lro, rx-gro-hw)",
            Self::TwiceChannels => "more than half of its channels are in use",
            Self::EqualChannels => {
                "it has other numbers of channels to receive and to send, or uses over half of those to send"
            }
            Self::SeparateChannels => "its channels aren't combined",
            Self::Sriov => "SR-IOV is on",
            Self::AnyPort => "another port of the controller has a longer MTU",
            Self::TwoQueuesPerCpu => "it has fewer than two queues to send by for each possible CPU",
            Self::PeerQueues => "it has fewer queues to receive by than its peer has to send by",
            Self::PeerMtu => "its peer's MTU is too large",
            Self::Member => "a member refuses, or has a program of its own",
            Self::BondMode => {
                "the bond's mode takes none (all but balance-rr, active-backup, balance-xor, 802.3ad)"
            }
            Self::Hidden(words) => words,
        }
    }

    /// Whether user space can see it before it attaches.
    pub const fn is_visible(self) -> bool {
        !matches!(
            self,
            Self::AnyPort | Self::TwoQueuesPerCpu | Self::PeerQueues | Self::PeerMtu | Self::Hidden(_)
        )
    }
}

/// An event at which a driver loses the program while the core goes on showing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The interface is set down and up.
    LinkUp,
    /// The MTU is changed.
    Mtu,
    /// The size of the rings is changed.
    Rings,
    /// The driver resets the device after a transmission that hangs.
    Reset,
    /// The machine is suspended or hibernated, and resumes.
    Resume,
    /// The guest is saved and restored, or migrated.
    Migration,
    /// A virtual function comes in later, and its driver refuses the program.
    VirtualFunction,
}

impl Loss {
    /// In words, behind "it loses the program".
    pub const fn words(self) -> &'static str {
        match self {
            Self::LinkUp => "when the interface is set down and up",
            Self::Mtu => "when its MTU is changed",
            Self::Rings => "when its rings are resized",
            Self::Reset => "when the driver resets the device",
            Self::Resume => "when the machine resumes",
            Self::Migration => "when the guest is restored or migrated",
            Self::VirtualFunction => "when its virtual function comes back and refuses",
        }
    }
}

impl Never {
    /// In words, behind "it never runs the program if".
    pub const fn words(self) -> &'static str {
        match self {
            Self::BigPackets => {
                "the host offers no mergeable buffers (MRG_RXBUF), but TSO or an MTU over 1,500"
            }
            Self::NoHeadroom => "the backend leaves no room in front of packets (no feature-xdp-headroom)",
            Self::VirtualFunction => "packets come by a virtual function whose driver has no native XDP",
            Self::TimestampsInFront => "hardware timestamps are on, which stand in front of the frame",
        }
    }
}

/// When a driver keeps a program that it doesn't run any more, so that it stays loaded until the next boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leak {
    /// When another program takes its place.
    Replaced,
    /// When it loses it ([`Loss`]).
    Lost,
}

impl Leak {
    /// In words, behind "it keeps loaded, until the next boot,".
    pub const fn words(self) -> &'static str {
        match self {
            Self::Replaced => "a program that another one has replaced",
            Self::Lost => "a program that it has lost",
        }
    }
}

/// A way to take a program, and never run it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Never {
    /// Virtio without merged buffers (bit 15) where packets may be longer than a buffer: bits 7 to 10, or an MTU of the
    /// device over 1,500.
    BigPackets,
    /// The Xen backend leaves no room in front of packets (no `feature-xdp-headroom`).
    NoHeadroom,
    /// Packets come by a virtual function whose driver has no XDP.
    VirtualFunction,
    /// Hardware timestamps stand in front of the frame, and are taken for its beginning.
    TimestampsInFront,
}
