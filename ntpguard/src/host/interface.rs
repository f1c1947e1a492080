//! The network interfaces, as the kernel reports them (rtnetlink(7)).

use crate::host::netlink;
use anyhow::{Context as _, Result, anyhow};
use netlink_packet_core::{
    ErrorMessage, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, LinkXdp, XdpAttached},
};
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use std::{
    error::Error,
    fmt, fs, io,
    os::fd::{AsRawFd as _, BorrowedFd},
    path::Path,
};

/// include/uapi/linux/if_link.h.
const XDP_FLAGS_UPDATE_IF_NOEXIST: u32 = 1;
const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

/// include/uapi/linux/netlink.h: an error omits the payload of the message that it answers, and attributes follow.
const NLM_F_ACK_TLVS: u16 = 0x200;
/// The attribute with the kernel's message.
const NLMSGERR_ATTR_MSG: u16 = 1;
/// The length of the header of the message that an error answers.
const HEADER_LEN: usize = 16;

/// The kernel's answer when it refuses.
#[derive(Debug)]
struct Refused {
    error: io::Error,
    /// The reason, in the kernel's words.
    words: Option<String>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.words {
            Some(words) => write!(f, "{}: {words}", self.error),
            None => self.error.fmt(f),
        }
    }
}

impl Error for Refused {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's index of it, which is a new one when it is created again.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Whether its frames begin with an Ethernet header.
    pub ethernet: bool,
    /// Whether it has no link header, so that bare IP packets arrive: a tunnel, PPP, a tun device, WireGuard.
    pub bare: bool,
    /// Whether it is this host's loopback.
    pub loopback: bool,
    /// The MTU: the longest packet in bytes, without the Ethernet header.
    pub mtu: u32,
    /// The longest MTU that can be set; `None` if the kernel doesn't report it.
    pub max_mtu: Option<u32>,
    /// The kind of virtual interface: `veth`, `vlan`, `bond`; `None` for hardware.
    pub kind: Option<String>,
    /// The index of its lower device (for a VLAN, its parent).
    pub lower: Option<u32>,
    /// Whether the lower device is in another network namespace, where the index means another interface.
    pub lower_is_elsewhere: bool,
    /// The index of its master (for a bond's member, the bond).
    pub master: Option<u32>,
    /// The XDP program attached to it.
    pub xdp: Option<Xdp>,
    /// Frames received (IFLA_STATS64). Drivers differ on whether those that XDP dropped are included, and some read
    /// their card's counters only every second or two.
    pub received: u64,
    /// Whether it is up, with a carrier or without (IFF_UP).
    pub up: bool,
    /// How often it has lost or gained its carrier (IFLA_CARRIER_CHANGES).
    pub carrier_changes: u32,
}

/// The XDP program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xdp {
    /// The program's id.
    pub program: u32,
    /// Whether it runs in the driver or the hardware, and not in the stack.
    pub native: bool,
}

impl Interface {
    /// Detaches an XDP program that was attached by netlink (`ip link set … xdp off`).
    ///
    /// # Errors
    /// The kernel refuses: EBUSY if the program was attached by a BPF link.
    pub(crate) fn take_xdp_off(&self, native: bool) -> Result<()> {
        let mode = if native { XDP_FLAGS_DRV_MODE } else { XDP_FLAGS_SKB_MODE };
        let mut link = LinkMessage::default();
        link.header.index = self.index;
        link.attributes.push(LinkAttribute::Xdp(vec![LinkXdp::Fd(-1), LinkXdp::Flags(mode)]));
        exchange(NLM_F_ACK, RouteNetlinkMessage::SetLink(link)).map(drop)
    }

    /// The kernel's message for why a driver refuses a native program (NETLINK_EXT_ACK). When a BPF link is refused,
    /// there is none before Linux 6.6, and later only for tracers. So the program is attached once more, by netlink, if
    /// no other is there; should it be accepted this time, it is detached at once. `None` if the kernel gives no
    /// message.
    pub(crate) fn refusal(&self, program: BorrowedFd<'_>) -> Option<String> {
        let mut link = LinkMessage::default();
        link.header.index = self.index;
        let flags = XDP_FLAGS_UPDATE_IF_NOEXIST | XDP_FLAGS_DRV_MODE;
        let program = LinkXdp::Fd(program.as_raw_fd());
        link.attributes.push(LinkAttribute::Xdp(vec![program, LinkXdp::Flags(flags)]));
        match exchange(NLM_F_ACK, RouteNetlinkMessage::SetLink(link)) {
            Ok(_) => {
                // If this fails, the next attachment fails as well, and reports it.
                let _ = self.take_xdp_off(true);
                None
            }
            Err(error) => error.downcast::<Refused>().ok().and_then(|refused| refused.words),
        }
    }

    /// Whether it is on top of a lower device, whose index is [`Interface::lower`]. Others have such an index, too: for
    /// a veth it is the peer.
    fn is_upper(&self) -> bool {
        matches!(self.kind.as_deref(), Some("vlan" | "macvlan" | "macvtap" | "ipvlan" | "ipvtap" | "ppp"))
    }

    /// Whether it receives what its members receive.
    fn has_members(&self) -> bool {
        matches!(self.kind.as_deref(), Some("bond" | "bridge" | "team"))
    }

    /// Whether its packets arrive through `lower`.
    fn is_fed_by(&self, lower: &Self) -> bool {
        self.is_upper() && self.lower == Some(lower.index)
            || self.has_members() && lower.master == Some(self.index)
    }

    /// Whether it can send back what it received (XDP_TX). Generic XDP can on every interface, and drivers of hardware
    /// do. Of the drivers of virtual interfaces some do if the peer is set up for it (veth), some don't.
    pub fn transmits(&self, native: bool) -> bool {
        !native || Path::new("/sys/class/net").join(&self.name).join("device").exists()
    }
}

/// The name of the interface with this index; `None` if there is none, or if it is called `name`.
pub fn named<'a>(all: &'a [Interface], index: u32, name: &str) -> Option<&'a str> {
    let found = all.iter().find(|interface| interface.index == index)?;
    (found.name != name).then_some(found.name.as_str())
}

/// The interfaces from which a bond gets its frames: XDP judges them there, for the bond.
pub fn members<'a>(all: &'a [Interface], interface: &Interface) -> impl Iterator<Item = &'a Interface> {
    let bond = (interface.kind.as_deref() == Some("bond")).then_some(interface.index);
    all.iter().filter(move |member| bond.is_some() && member.master == bond)
}

/// The interfaces from which one gets its packets: a VLAN's lower device, or the members of a bond, bridge or team.
pub fn feeders<'a>(all: &'a [Interface], interface: &Interface) -> impl Iterator<Item = &'a Interface> {
    all.iter().filter(move |lower| interface.is_fed_by(lower))
}

/// In words, two of the named interfaces of which one gets its packets from the other, so that these would be judged,
/// counted and limited twice; `None` if there are no two such interfaces.
pub fn overlap(all: &[Interface], names: &[String]) -> Option<String> {
    let named = |interface: &&Interface| names.contains(&interface.name);
    let pairs =
        all.iter().filter(named).flat_map(|upper| all.iter().filter(named).map(move |lower| (upper, lower)));
    let (upper, lower) = pairs.into_iter().find(|(upper, lower)| lies_on(all, upper, lower))?;
    Some(format!(
        "{} gets its packets from {}, and each would be judged, counted and limited twice: name one of the two; {} sees \
         them first, tagged ones too",
        upper.name, lower.name, lower.name
    ))
}

/// Advice about an interface's relation to others; `None` if it has none.
pub fn advice(all: &[Interface], interface: &Interface) -> Option<String> {
    let name = &interface.name;
    let of = |index: Option<u32>| all.iter().find(|other| Some(other.index) == index);
    if let Some(master) = of(interface.master).filter(|master| master.has_members()) {
        let (master, kind) = (&master.name, master.kind.as_deref().unwrap_or_default());
        return Some(format!(
            "{name} belongs to the {kind} {master}: what comes in by its other members isn't judged; to guard all, name \
             {master}, or every member"
        ));
    }
    let lower = of(interface.lower).filter(|_| interface.is_upper())?;
    let (lower, kind) = (&lower.name, interface.kind.as_deref().unwrap_or_default());
    Some(format!(
        "{name} is a {kind} on {lower}, and judged in the stack; {lower} can be judged in its driver, together with all \
         that lies on it"
    ))
}

/// Whether packets of `upper` arrive through `lower`, directly or indirectly.
fn lies_on(all: &[Interface], upper: &Interface, lower: &Interface) -> bool {
    // The depth is bounded by the number of interfaces, whatever the kernel reports.
    let mut below = vec![upper];
    for _ in all {
        below = all.iter().filter(|one| below.iter().any(|upper| upper.is_fed_by(one))).collect();
        if below.iter().any(|one| one.index == lower.index) {
            return true;
        }
    }
    false
}

/// The interface of this name.
///
/// # Errors
/// There is none, or the kernel doesn't report the interfaces.
pub fn find(name: &str) -> Result<Interface> {
    let mut all = all()?;
    match all.iter().position(|interface| interface.name == name) {
        Some(place) => Ok(all.swap_remove(place)),
        None => {
            let names: Vec<_> = all.iter().map(|interface| interface.name.as_str()).collect();
            Err(anyhow!("there is no interface {name}; there are: {}", names.join(", ")))
        }
    }
}

/// All interfaces of this network namespace.
///
/// # Errors
/// The kernel doesn't report them.
pub fn all() -> Result<Vec<Interface>> {
    ask().context("the kernel doesn't tell the interfaces (rtnetlink)")
}

fn ask() -> Result<Vec<Interface>> {
    let links = exchange(NLM_F_DUMP, RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    let mut all: Vec<_> = links.into_iter().map(Interface::from).collect();
    // The file exists only with PPPoE.
    let sessions = fs::read_to_string("/proc/thread-self/net/pppoe").unwrap_or_default();
    lay_on_sessions(&mut all, &sessions);
    Ok(all)
}

/// Sets the lower device of PPP interfaces, from the table of PPPoE sessions (drivers/net/ppp/pppoe.c:pppoe_seq_show).
/// The table doesn't say which session belongs to which interface; with several, the first one's device is used for
/// all.
fn lay_on_sessions(all: &mut [Interface], sessions: &str) {
    let mut devices = sessions.lines().skip(1).filter_map(|session| session.split_whitespace().nth(2));
    let lower = devices.find_map(|device| all.iter().find(|one| one.name == device)).map(|one| one.index);
    for ppp in all.iter_mut().filter(|one| one.kind.as_deref() == Some("ppp")) {
        ppp.lower = lower;
    }
}

/// Sends a message, and receives the kernel's whole answer.
fn exchange(flags: u16, message: RouteNetlinkMessage) -> Result<Vec<LinkMessage>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.set_ext_ack(true)?;
    socket.set_cap_ack(true)?;
    let mut header = NetlinkHeader::default();
    header.flags = flags | NLM_F_REQUEST;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;

    let mut all = Vec::new();
    loop {
        let (answer, _) = socket.recv_from_full()?;
        let mut rest = answer.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)?;
            match message.payload {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => all.push(link),
                NetlinkPayload::Done(_) => return Ok(all),
                // An error without a code is an acknowledgement.
                NetlinkPayload::Error(ErrorMessage { code: None, .. }) => return Ok(all),
                NetlinkPayload::Error(error) => {
                    let told = message.header.flags & NLM_F_ACK_TLVS != 0;
                    let attributes = error.header.get(HEADER_LEN..).filter(|_| told).unwrap_or_default();
                    let words = netlink::find(attributes, NLMSGERR_ATTR_MSG);
                    let words =
                        words.map(|words| String::from_utf8_lossy(words).trim_end_matches('\0').to_owned());
                    return Err(Refused { error: error.to_io(), words }.into());
                }
                _ => (),
            }
            // Messages are aligned to four bytes.
            let length = (message.header.length as usize).next_multiple_of(4);
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

impl From<LinkMessage> for Interface {
    fn from(link: LinkMessage) -> Self {
        let kind = link.header.link_layer_type;
        let mut interface = Self {
            index: link.header.index,
            ethernet: kind == LinkLayerType::Ether,
            bare: matches!(
                kind,
                LinkLayerType::None
                    | LinkLayerType::Ppp
                    | LinkLayerType::Rawip
                    | LinkLayerType::Tunnel
                    | LinkLayerType::Tunnel6
                    | LinkLayerType::Sit
                    | LinkLayerType::Ipgre
                    | LinkLayerType::Ip6gre
            ),
            loopback: kind == LinkLayerType::Loopback,
            up: link.header.flags.contains(LinkFlags::Up),
            ..Self::default()
        };
        for attribute in link.attributes {
            match attribute {
                LinkAttribute::IfName(name) => interface.name = name,
                LinkAttribute::Mtu(mtu) => interface.mtu = mtu,
                LinkAttribute::MaxMtu(mtu) => interface.max_mtu = (mtu > 0).then_some(mtu),
                LinkAttribute::Link(index) => interface.lower = Some(index),
                LinkAttribute::LinkNetNsId(_) => interface.lower_is_elsewhere = true,
                LinkAttribute::Controller(index) => interface.master = Some(index),
                LinkAttribute::LinkInfo(infos) => {
                    interface.kind = infos.into_iter().find_map(|info| match info {
                        LinkInfo::Kind(kind) => Some(kind.to_string()),
                        _ => None,
                    });
                }
                LinkAttribute::Stats64(counted) => interface.received = counted.rx_packets,
                LinkAttribute::CarrierChanges(count) => interface.carrier_changes = count,
                LinkAttribute::Xdp(xdp) => interface.xdp = of(&xdp),
                _ => (),
            }
        }
        // Other interfaces of this type, such as those of serial cards, leave PPP's header before the packet
        // (drivers/net/wan/hdlc_ppp.c).
        interface.bare &= kind != LinkLayerType::Ppp || interface.kind.as_deref() == Some("ppp");
        interface
    }
}

fn of(attributes: &[LinkXdp]) -> Option<Xdp> {
    let native = !attributes.contains(&LinkXdp::Attached(XdpAttached::SocketBuffer));
    attributes.iter().find_map(|attribute| match *attribute {
        LinkXdp::ProgId(program) => Some(Xdp { program, native }),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
