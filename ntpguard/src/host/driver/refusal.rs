//! Why a driver refuses a native program, accepts it without ever running it, or loses it later.

/// The longest MTU under native XDP, in bytes without the Ethernet header. For x86-64 with pages of 4,096 bytes, cache
/// lines of 64 bytes and MAX_SKB_FRAGS of 17.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mtu {
    /// The driver has no limit.
    Unlimited,
    /// The driver refuses longer ones.
    Of {
        /// For programs that take a frame in one buffer.
        single: u32,
        /// For programs that take frames in several buffers; `None` if there is no limit. Meaningless for drivers
        /// without several buffers.
        several: Option<u32>,
    },
}

impl Mtu {
    /// A limit for programs that take a frame in one buffer, and none for others.
    pub(super) const fn single(single: u32) -> Self {
        Self::Of { single, several: None }
    }
}

/// What happens to frames in several buffers if the driver gives programs only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Longer {
    /// There are no such frames: the driver refuses an MTU at which they would occur.
    Refused,
    /// They are dropped.
    Dropped,
    /// They bypass the program.
    Unfiltered,
    /// The program sees only their first buffer, without knowing it.
    Cut,
    /// The driver gives them to the program like other frames.
    Given,
    /// Not determined.
    Unknown,
}

/// What happens if the MTU is raised above the limit while a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raised {
    /// The driver refuses it.
    Refused,
    /// The driver accepts it, and drops frames that are too long.
    Dropped,
    /// The driver accepts it, and lets such frames bypass the program.
    Unfiltered,
    /// The driver accepts it, and shows the program a part of such frames.
    Cut,
    /// The driver accepts it, and the filter still sees everything.
    Harmless,
    /// Not determined.
    Unknown,
}

/// A condition under which a native program is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Virtio: the host merges packets or leaves checksums incomplete for this guest (feature bits 1, 7 to 10), and the
    /// guest can't turn that off (no bit 2, CTRL_GUEST_OFFLOADS).
    GuestOffloads,
    /// Virtio: mergeable buffers (bit 15) without one of the layouts of bits 27 and 32.
    HeaderLayout,
    /// LRO (`rx-lro`) is on.
    Lro,
    /// LRO or hardware GRO (`rx-gro-hw`) is on.
    Merging,
    /// Twice the number of channels in use exceeds the maximum.
    TwiceChannels,
    /// The numbers of receive and send channels differ, or twice the send channels exceed their maximum.
    EqualChannels,
    /// Receive and send channels are separate, not combined.
    SeparateChannels,
    /// SR-IOV is on (`sriov_numvfs`).
    Sriov,
    /// The MTU of any port of the controller exceeds its limit.
    AnyPort,
    /// There are fewer than two send queues for each possible CPU.
    TwoQueuesPerCpu,
    /// There are fewer receive queues than the peer has send queues.
    PeerQueues,
    /// The peer's MTU exceeds the limit.
    PeerMtu,
    /// A member refuses, or has a program of its own.
    Member,
    /// The bond's mode isn't one of balance-rr, active-backup, balance-xor and 802.3ad.
    BondMode,
    /// A condition that user space can't see, or sees only in the kernel's `xdp-features`; in words.
    Hidden(&'static str),
}

impl Refusal {
    /// In words that follow "it may be that".
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

    /// Whether user space can see the condition before it attaches.
    pub const fn is_visible(self) -> bool {
        !matches!(
            self,
            Self::AnyPort | Self::TwoQueuesPerCpu | Self::PeerQueues | Self::PeerMtu | Self::Hidden(_)
        )
    }
}

/// An event at which a driver loses the program while the network core still reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The interface is set down and up.
    LinkUp,
    /// The MTU is changed.
    Mtu,
    /// The rings are resized.
    Rings,
    /// The driver resets the device after a transmission has hung.
    Reset,
    /// The machine resumes after it was suspended or hibernated.
    Resume,
    /// The guest is saved and restored, or migrated.
    Migration,
    /// A virtual function appears later, and its driver refuses the program.
    VirtualFunction,
}

impl Loss {
    /// In words that follow "it loses the program".
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
    /// In words that follow "it never runs the program if".
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

/// When a driver keeps a reference to a program that it no longer runs, so that it stays loaded until the next boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leak {
    /// When another program replaces it.
    Replaced,
    /// When the driver loses it ([`Loss`]).
    Lost,
}

impl Leak {
    /// In words that follow "it keeps loaded, until the next boot,".
    pub const fn words(self) -> &'static str {
        match self {
            Self::Replaced => "a program that another one has replaced",
            Self::Lost => "a program that it has lost",
        }
    }
}

/// Why a driver accepts a program and never runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Never {
    /// Virtio without mergeable buffers (bit 15), if packets may be longer than a buffer: bits 7 to 10, or a device MTU
    /// above 1,500.
    BigPackets,
    /// The Xen backend leaves no headroom before packets (no `feature-xdp-headroom`).
    NoHeadroom,
    /// Packets arrive through a virtual function whose driver has no XDP.
    VirtualFunction,
    /// Hardware timestamps precede the frame, and are taken for its beginning.
    TimestampsInFront,
}
