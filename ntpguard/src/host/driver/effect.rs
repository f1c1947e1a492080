//! What attaching, replacing and detaching a native program do to a card.

/// What is stopped for a while. Times are by experience, not from sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// A pointer is exchanged, and no packet is lost.
    Nothing,
    /// Queues are paused in software, for milliseconds.
    Paused,
    /// The rings are taken down and built anew, with the carrier off meanwhile but the link kept: tens to hundreds of
    /// milliseconds.
    Rings,
    /// The link is reset and negotiated anew: one to five seconds on copper.
    Link,
    /// The interface is set down and up: static routes by it and its IPv6 addresses are lost.
    Down,
}

impl Stop {
    /// The letter in the documentation's table.
    pub const fn letter(self) -> char {
        match self {
            Self::Nothing => '0',
            Self::Paused => 'P',
            Self::Rings => 'R',
            Self::Link => 'L',
            Self::Down => 'D',
        }
    }

    /// What that means for who uses the card; `None` if nobody notices.
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

/// What three operations stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stops {
    /// The first program.
    pub attach: Stop,
    /// Another program in place of the one that is there.
    pub replace: Stop,
    /// No program any more.
    pub detach: Stop,
}

impl Stops {
    /// The same for the first program and after the last, and something else for a replacement.
    pub(super) const fn new(ends: Stop, replace: Stop) -> Self {
        Self { attach: ends, replace, detach: ends }
    }
}

/// What is stopped together with the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Also {
    /// The interface alone is.
    Nothing,
    /// All members of the bond, each as its own driver does.
    Members,
    /// The virtual function that carries its packets, as the driver of that does.
    VirtualFunction,
    /// The card's physical function with all its virtual functions.
    VirtualFunctions,
    /// All ports of the same controller or switch.
    Ports,
}

impl Also {
    /// In words, behind what is stopped; `None` for the interface alone.
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
    /// Its name as `ethtool -k` has it.
    pub name: &'static str,
    /// Whether detaching turns it on again.
    pub returns: bool,
}

/// Hardware receive timestamps of packets that XDP passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timestamps {
    /// The driver makes none, with XDP or without.
    None,
    /// They are kept.
    Kept,
    /// They are kept unless the program writes in front of the packet, which ntpguard's doesn't.
    KeptInHeadroom,
    /// The hardware writes them in front of the frame, and the program reads those bytes for an Ethernet header: with
    /// timestamps on, nothing is filtered.
    InFrontOfFrame,
    /// They are lost where the kernel copies the packet for XDP.
    Lost,
    /// Those of the members.
    Members,
    /// Not settled.
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

/// What happens to the card's own clock (PHC) and to its timestamping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Nothing, or there is none.
    Untouched,
    /// It is set to the system's time.
    Stepped,
    /// The clock is taken away and another one registered, set to the system's time: open /dev/ptp descriptors die, and
    /// hardware timestamps are off until somebody turns them on again.
    Replaced,
}

impl Clock {
    /// In words; `None` if nothing happens.
    pub const fn words(self) -> Option<&'static str> {
        match self {
            Self::Untouched => None,
            Self::Stepped => Some("sets the card's clock (PHC) to the system's time"),
            Self::Replaced => Some("replaces its clock (PHC) and turns hardware timestamps off"),
        }
    }
}
