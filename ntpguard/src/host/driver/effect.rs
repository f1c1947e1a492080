//! The effects on a card of attaching, replacing and detaching a native program.

/// What an operation stops for a while. Durations are from experience, not from the sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Nothing: a pointer is exchanged, and no packet is lost.
    Nothing,
    /// Queues are paused in software, for milliseconds.
    Paused,
    /// The rings are torn down and rebuilt, with the carrier off meanwhile but the link kept: tens to hundreds of
    /// milliseconds.
    Rings,
    /// The link is reset and renegotiated: one to five seconds on copper.
    Link,
    /// The interface is set down and up: static routes through it and its IPv6 addresses are lost.
    Down,
}

impl Stop {
    /// Its letter in the documentation's table.
    pub const fn letter(self) -> char {
        match self {
            Self::Nothing => '0',
            Self::Paused => 'P',
            Self::Rings => 'R',
            Self::Link => 'L',
            Self::Down => 'D',
        }
    }

    /// What it means for the card's users; `None` if nobody notices.
    pub const fn words(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Paused => Some("pauses its queues for some milliseconds"),
            Self::Rings => Some("rebuilds its rings: nothing passes for some 100 ms"),
            Self::Link => Some("resets the link: nothing passes for 1 to 5 s"),
            Self::Down => Some("sets it down and up: static routes and IPv6 addresses go"),
        }
    }
}

/// What each of the three operations stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stops {
    /// Attaching the first program.
    pub attach: Stop,
    /// Replacing a program by another one.
    pub replace: Stop,
    /// Detaching the last program.
    pub detach: Stop,
}

impl Stops {
    /// The same for attaching and detaching, and something else for replacing.
    pub(super) const fn new(ends: Stop, replace: Stop) -> Self {
        Self { attach: ends, replace, detach: ends }
    }
}

/// What is stopped in addition to the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Also {
    /// Only the interface.
    Nothing,
    /// All members of the bond, each as its own driver does it.
    Members,
    /// The virtual function that carries its packets, as that function's driver does it.
    VirtualFunction,
    /// The card's physical function with all its virtual functions.
    VirtualFunctions,
    /// All ports of the same controller or switch.
    Ports,
}

impl Also {
    /// In words that follow what is stopped; `None` for only the interface.
    pub const fn words(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Members => Some("each member does what its own driver does"),
            Self::VirtualFunction => Some("its virtual function does what its own driver does"),
            Self::VirtualFunctions => Some("the card's virtual functions are reset, too"),
            Self::Ports => Some("so do all ports of the same controller"),
        }
    }
}

/// An offload that a driver turns off for XDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offload {
    /// Its name in `ethtool -k`.
    pub name: &'static str,
    /// Whether detaching turns it on again.
    pub returns: bool,
}

/// What happens to hardware receive timestamps of packets that XDP passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timestamps {
    /// The driver makes none, with XDP or without.
    None,
    /// They are kept.
    Kept,
    /// They are kept unless the program writes into the headroom before the packet, which ntpguard's doesn't.
    KeptInHeadroom,
    /// The hardware writes them before the frame, and the program reads them as an Ethernet header: with timestamps on,
    /// nothing is filtered.
    InFrontOfFrame,
    /// They are lost when the kernel copies the packet for XDP.
    Lost,
    /// As for the members' drivers.
    Members,
    /// Not determined.
    Unknown,
}

impl Timestamps {
    /// In words that follow the driver's name.
    pub const fn words(self) -> &'static str {
        match self {
            Self::None => "makes no hardware receive timestamps",
            Self::Kept | Self::KeptInHeadroom => "keeps the hardware receive timestamps of packets that pass",
            Self::InFrontOfFrame => {
                "puts hardware receive timestamps in front of frames, where XDP takes them for the frame"
            }
            Self::Lost => "may lose the hardware receive timestamps of packets that pass",
            Self::Members => "leaves hardware receive timestamps to its members",
            Self::Unknown => {
                "isn't known to keep or to lose hardware receive timestamps of packets that pass"
            }
        }
    }
}

/// What happens to the card's hardware clock (PHC) and to its timestamping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Nothing, or there is no clock.
    Untouched,
    /// It is set to the system's time.
    Stepped,
    /// The clock is unregistered and another one registered, set to the system's time: open /dev/ptp descriptors become
    /// invalid, and hardware timestamps are off until they are turned on again.
    Replaced,
}

impl Clock {
    /// In words; `None` if nothing happens to it.
    pub const fn words(self) -> Option<&'static str> {
        match self {
            Self::Untouched => None,
            Self::Stepped => Some("sets the card's clock (PHC) to the system's time"),
            Self::Replaced => Some("replaces its clock (PHC) and turns hardware timestamps off"),
        }
    }
}
