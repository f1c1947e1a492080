//! The network interfaces, as the kernel shows them (rtnetlink(7)).

use anyhow::{Context as _, Result, anyhow};
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkInfo, LinkLayerType, LinkMessage, LinkXdp, XdpAttached},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use std::path::Path;

/// One interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's number for it: another one when it comes back.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Frames on it begin with an Ethernet header.
    pub ethernet: bool,
    /// It is this host's loopback.
    pub loopback: bool,
    /// The longest packet, in bytes, without the Ethernet header.
    pub mtu: u32,
    /// What kind of virtual interface it is: `veth`, `vlan`, `bond`; `None` for hardware.
    pub kind: Option<String>,
    /// The index of the one below it (of a VLAN, its parent).
    pub lower: Option<u32>,
    /// The index of the one that it belongs to (of a bond's member, the bond).
    pub master: Option<u32>,
    /// The XDP program on it.
    pub xdp: Option<Xdp>,
}

/// The XDP program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xdp {
    /// The program's id.
    pub program: u32,
    /// It runs in the driver or the hardware, not in the stack.
    pub native: bool,
}

impl Interface {
    /// Whether it can send what came in by it (XDP_TX). Generic XDP can everywhere, drivers of hardware do; of the
    /// drivers of virtual interfaces some do if the other end is set up for it (veth), some don't.
    pub fn transmits(&self, native: bool) -> bool {
        !native || Path::new("/sys/class/net").join(&self.name).join("device").exists()
    }
}

/// The interface of a name.
///
/// # Errors
/// There is none, or the kernel doesn't tell.
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

/// All of them.
///
/// # Errors
/// The kernel doesn't tell.
pub fn all() -> Result<Vec<Interface>> {
    ask().context("the kernel doesn't tell the interfaces (rtnetlink)")
}

fn ask() -> Result<Vec<Interface>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_DUMP | NLM_F_REQUEST;
    let question = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let mut question = NetlinkMessage::new(header, NetlinkPayload::from(question));
    question.finalize();
    let mut bytes = vec![0; question.buffer_len()];
    question.serialize(&mut bytes);
    socket.send(&bytes, 0)?;

    let mut all = Vec::new();
    loop {
        let (answer, _) = socket.recv_from_full()?;
        let mut rest = answer.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)?;
            match message.payload {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => all.push(link.into()),
                NetlinkPayload::Done(_) => return Ok(all),
                NetlinkPayload::Error(error) => return Err(error.to_io().into()),
                _ => (),
            }
            // Messages begin at multiples of four bytes.
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
            loopback: kind == LinkLayerType::Loopback,
            ..Self::default()
        };
        for attribute in link.attributes {
            match attribute {
                LinkAttribute::IfName(name) => interface.name = name,
                LinkAttribute::Mtu(mtu) => interface.mtu = mtu,
                LinkAttribute::Link(index) => interface.lower = Some(index),
                LinkAttribute::Controller(index) => interface.master = Some(index),
                LinkAttribute::LinkInfo(infos) => {
                    interface.kind = infos.into_iter().find_map(|info| match info {
                        LinkInfo::Kind(kind) => Some(kind.to_string()),
                        _ => None,
                    });
                }
                LinkAttribute::Xdp(xdp) => interface.xdp = of(&xdp),
                _ => (),
            }
        }
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
mod tests {
    use super::*;

    #[test]
    fn loopback_is_there() {
        let lo = find("lo").unwrap();
        assert!(lo.loopback && !lo.ethernet && lo.index == 1 && lo.xdp.is_none(), "{lo:?}");
    }

    #[test]
    fn those_that_are_there_are_named() {
        let error = find("none0").unwrap_err().to_string();
        assert!(
            error.starts_with("there is no interface none0; there are: ") && error.contains("lo"),
            "{error}"
        );
    }
}
